package control

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nano/apps"
	"nano/config"
	"nano/snapshot"
)

// record is what is known of an app's versions, on disk as JSON in state_dir/apps/NAME/record.json.
// What the versions consist of lies in apps.Sources, by hash.
type record struct {
	Format int `json:"format"` // recordFormat
	// File is what main of nano.toml held when it was last deployed: only another content is deployed
	// anew. Zero: it never was.
	File sourceID `json:"file"`
	Next int      `json:"next"` // number of the next version
	// Versions are sorted by number. Weights of 0: the version is only kept.
	Versions []kept `json:"versions"`
	// Upload is how an app runs that nano.toml does not have; nil: it has.
	Upload *upload `json:"upload,omitempty"`
}

// kept is a version in a record.
type kept struct {
	Number  int       `json:"number"`
	Source  sourceID  `json:"source"`
	Created time.Time `json:"created"`
	From    string    `json:"from"`
	Weight  int       `json:"weight"`
}

// upload is what goes with the upload of an app that nano.toml does not have.
type upload struct {
	Hosts    []string `json:"hosts,omitempty"`
	Path     string   `json:"path,omitempty"`
	Settings string   `json:"settings,omitempty"` // TOML
}

// sourceID is an apps.SourceID in JSON: hexadecimal digits, "" for none.
type sourceID struct{ apps.SourceID }

// MarshalText implements encoding.TextMarshaler.
func (id sourceID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *sourceID) UnmarshalText(text []byte) (err error) {
	id.SourceID = apps.SourceID{}
	if len(text) > 0 {
		id.SourceID, err = apps.ParseSourceID(string(text))
	}
	return err
}

// idLength is how many digits of a hash name a version.
const idLength = 12

// VersionID is the Version.ID of what a version is started from; "" if that is zero.
func VersionID(source apps.SourceID) string {
	if source.IsZero() {
		return ""
	}
	return hex.EncodeToString(source[:idLength/2]) // no part of a longer string, which whoever keeps it would keep
}

func (k *kept) id() string { return VersionID(k.Source.SourceID) }

// clone copies a record, so that a change can be given up.
func (r *record) clone() *record {
	c := *r
	c.Versions = slices.Clone(r.Versions)
	if r.Upload != nil {
		u := *r.Upload
		c.Upload = &u
	}
	return &c
}

// find finds a version by id; nil: there is none.
func (r *record) find(id string) *kept {
	for i := range r.Versions {
		if r.Versions[i].id() == id {
			return &r.Versions[i]
		}
	}
	return nil
}

// active are the versions that serve, the one with the most weight first.
func (r *record) active() []kept {
	var active []kept
	for _, k := range r.Versions {
		if k.Weight > 0 {
			active = append(active, k)
		}
	}
	slices.SortStableFunc(active, func(a, b kept) int { return b.Weight - a.Weight })
	return active
}

// deploy makes a version the only one that serves: a new one, or one that is kept, with a new number.
func (r *record) deploy(source apps.SourceID, from string, now time.Time) {
	r.Versions = slices.DeleteFunc(r.Versions, func(k kept) bool { return k.Source.SourceID == source })
	for i := range r.Versions {
		r.Versions[i].Weight = 0
	}
	r.Next = max(r.Next, 1)
	r.Versions = append(r.Versions, kept{r.Next, sourceID{source}, now.UTC().Round(time.Millisecond), from, 1})
	r.Next++
}

// weigh splits the requests, by id.
func (r *record) weigh(weights map[string]int) {
	for i := range r.Versions {
		r.Versions[i].Weight = weights[r.Versions[i].id()]
	}
}

// prune forgets the oldest versions that do not serve, but for the last `count` versions.
func (r *record) prune(count int) (forgotten []apps.SourceID) {
	excess := len(r.Versions) - count
	r.Versions = slices.DeleteFunc(r.Versions, func(k kept) bool {
		if excess <= 0 || k.Weight > 0 {
			return false
		}
		excess--
		forgotten = append(forgotten, k.Source.SourceID)
		return true
	})
	return forgotten
}

const recordFormat = 1

// check finds what no record holds that this program wrote.
func (r *record) check() error {
	serves := false
	for i, k := range r.Versions {
		if k.Source.IsZero() || k.Number < 1 || k.Number >= r.Next || k.Weight < 0 || i > 0 && k.Number <= r.Versions[i-1].Number {
			return errors.New("a version makes no sense")
		}
		serves = serves || k.Weight > 0
	}
	switch {
	case r.Format != recordFormat:
		return fmt.Errorf("is of format %d, not %d", r.Format, recordFormat)
	case !serves:
		return errors.New("no version serves")
	}
	return nil
}

// records is the folder state_dir/apps.
type records struct {
	folder   string
	files    snapshot.Files
	isShared bool // another node writes there, too
}

const (
	recordName      = "record.json"
	recordLengthMax = 4 << 20
)

func (s *records) path(app string) string { return filepath.Join(s.folder, app, recordName) }

// save writes the record of an app: after a crash there is this one or the one before.
func (s *records) save(app string, r *record) error {
	if s == nil {
		return nil
	}
	r.Format = recordFormat
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return fmt.Errorf("record of %s: %w", app, err)
	}
	folder := filepath.Dir(s.path(app))
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		if err := s.files.Sync(s.folder); err != nil {
			return err
		}
	}
	return snapshot.ReplaceFile(s.files, s.path(app), append(text, '\n'), 0o600, true)
}

// holds tells whether the record of an app on the disk is r.
func (s *records) holds(app string, r *record) bool {
	found, err := s.loadOne(app)
	if err != nil || r == nil {
		return false
	}
	a, errA := json.Marshal(found)
	b, errB := json.Marshal(r)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// remove deletes the record of an app, and its folder.
func (s *records) remove(app string) error {
	if s == nil {
		return nil
	}
	if err := s.files.Remove(s.path(app)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.clean(app)
	_ = os.Remove(filepath.Dir(s.path(app))) // not empty: somebody keeps something there
	if err := s.files.Sync(s.folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// clean removes what writers left in the folder of an app that were ended half-way.
func (s *records) clean(app string) {
	folder := filepath.Dir(s.path(app))
	entries, _ := os.ReadDir(folder) // none: nothing to remove
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), snapshot.TemporaryPrefix) {
			_ = os.Remove(filepath.Join(folder, entry.Name()))
		}
	}
}

// load reads all records. problems has one for each that cannot be used, and is left alone.
func (s *records) load() (found map[string]*record, problems []error) {
	found = map[string]*record{}
	if s == nil {
		return found, nil
	}
	entries, err := os.ReadDir(s.folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, []error{err}
	}
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() || config.CheckName(name) != nil {
			continue
		}
		if !s.isShared {
			s.clean(name)
		}
		r, err := s.loadOne(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && s.isShared:
		case errors.Is(err, fs.ErrNotExist):
			_ = os.Remove(filepath.Join(s.folder, name)) // of a first deployment that did not come so far
		case err != nil:
			problems = append(problems, fmt.Errorf("%s: %w", s.path(name), err))
		default:
			found[name] = r
		}
	}
	return found, problems
}

func (s *records) loadOne(app string) (*record, error) {
	info, err := os.Stat(s.path(app))
	if err != nil {
		return nil, err
	}
	if info.Size() > recordLengthMax {
		return nil, errors.New("is too long")
	}
	text, err := os.ReadFile(s.path(app))
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	return &r, r.check()
}
