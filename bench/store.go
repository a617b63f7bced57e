package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nano/snapshot"
)

// results is all that is known of a machine: what its last run found, and of parts that this one did not measure what
// earlier runs found. results.json holds it.
type results struct {
	Runs []*runRecord `json:"runs"` // the oldest first

	Scenarios []scenarioResult `json:"scenarios,omitempty"` // in the order of scenarios()
	Loops     *loopsResult     `json:"loops,omitempty"`
	Launch    []launchResult   `json:"launch,omitempty"`
	Idle      []idleResult     `json:"idle,omitempty"`
	Memory    []memorySample   `json:"memory,omitempty"`

	Cold      []coldResult      `json:"coldstart,omitempty"`
	Density   []densityResult   `json:"density,omitempty"`
	Zipf      *zipfResult       `json:"zipf,omitempty"`
	Neighbour *neighbourResult  `json:"neighbour,omitempty"`
	Isolation []isolationResult `json:"isolation,omitempty"`
	Active    *activeResult     `json:"active1000,omitempty"`
	Observe   *observeResult    `json:"observe,omitempty"`
	Reload    *reloadResult     `json:"reload,omitempty"`
	Soak      *soakResult       `json:"soak,omitempty"`
	Dev       []*devResult      `json:"dev,omitempty"`

	Platform []platformResult `json:"platform,omitempty"`

	Transform  []bodyResult      `json:"transform100m,omitempty"`
	WebSockets []webSocketResult `json:"websocket,omitempty"`
	Giga       []bodyResult      `json:"giga,omitempty"`
	Pending    *pendingResult    `json:"pending10k,omitempty"`

	Weight  []microResult `json:"weight,omitempty"`
	Micro   []microResult `json:"micro,omitempty"`
	Targets []target      `json:"targets"` // of all parts; judged anew whenever the report is written
}

// runRecord tells how and on what some parts were measured.
type runRecord struct {
	Commit   string            `json:"commit"`
	Started  time.Time         `json:"started"`
	Machine  machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Seconds  float64           `json:"seconds_per_round"`
	Rounds   int               `json:"rounds"`
	Quick    bool              `json:"quick,omitempty"`
	Cores    [2]string         `json:"server_and_client_core"`
	Parts    []part            `json:"parts"` // whose results are of this run, and not of a later one
}

// part is a scenario or a check: what is measured, and replaced in the results, as a whole.
type part struct {
	Name     string    `json:"name"`
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"` // that it took; 0: not known
	Failures []string  `json:"failures,omitempty"`
}

// newRun is a run of which nothing was measured yet.
func (b *bench) newRun(ctx context.Context) *runRecord {
	this := &runRecord{
		Commit: b.commit(ctx), Started: time.Now().Truncate(time.Second), Machine: readMachine(b.serverCore), Versions: toolVersions(ctx, b.peers),
		Seconds: b.duration.Seconds(), Rounds: b.rounds, Quick: b.quick, Cores: [2]string{b.serverCore, b.clientCore},
	}
	if b.nginx != nil {
		this.Versions[nginxName] = nginxVersion(ctx, *b.nginx)
	}
	return this
}

// runOf returns the run that measured a part, its number from 1 and the part; nil and 0: none did.
func (r *results) runOf(name string) (measured *runRecord, number int, one part) {
	for index, candidate := range r.Runs {
		for _, one := range candidate.Parts {
			if one.Name == name {
				return candidate, index + 1, one
			}
		}
	}
	return nil, 0, part{}
}

// measure does a part and puts what it found, and what failed, in the place of what was there of it. A part that is cut
// short by the end of ctx leaves everything as it was.
func (r *results) measure(ctx context.Context, this *runRecord, name string, do func(into *results) error) error {
	next := *r // parts replace fields as a whole
	started := time.Now()
	err := do(&next)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	done := part{Name: name, Started: started.Truncate(time.Second), Seconds: time.Since(started).Round(time.Second / 10).Seconds()}
	for _, failure := range unjoin(err) {
		done.Failures = append(done.Failures, failure.Error())
		progress("%s: %v", name, failure)
	}
	*r = next
	if !slices.Contains(r.Runs, this) {
		r.Runs = append(r.Runs, this)
	}
	for _, one := range r.Runs {
		one.Parts = slices.DeleteFunc(one.Parts, func(old part) bool { return old.Name == name })
	}
	this.Parts = append(this.Parts, done)
	r.Runs = slices.DeleteFunc(r.Runs, func(one *runRecord) bool { return len(one.Parts) == 0 })
	return nil
}

// unjoin returns the errors of which errors.Join made one.
func unjoin(err error) []error {
	if joined, isJoined := err.(interface{ Unwrap() []error }); isJoined {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// putScenario replaces the results of a scenario, or adds them in their place.
func (r *results) putScenario(found scenarioResult) {
	order := func(name string) int {
		return slices.IndexFunc(scenarios(), func(s scenario) bool { return s.Name == name })
	}
	r.Scenarios = append(slices.DeleteFunc(slices.Clone(r.Scenarios), func(old scenarioResult) bool { return old.Name == found.Name }), found)
	slices.SortStableFunc(r.Scenarios, func(x, y scenarioResult) int { return cmp.Compare(order(x.Name), order(y.Name)) })
}

// encode returns the results as JSON.
func (r *results) encode() ([]byte, error) {
	content, err := json.MarshalIndent(r, "", "  ")
	return append(content, '\n'), err
}

// loadResults reads what earlier runs left beside a report; nothing, if there is none.
func loadResults(report string) (*results, error) {
	content, err := os.ReadFile(jsonPath(report))
	if errors.Is(err, fs.ErrNotExist) {
		return &results{}, nil
	}
	if err != nil {
		return nil, err
	}
	found := &results{}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields() // what is not understood would be lost when the file is written again
	if err := decoder.Decode(found); err != nil {
		return nil, fmt.Errorf("%s: %w; choose another --out, or remove the file", jsonPath(report), err)
	}
	return found, nil
}

// remarksName is the file beside a report that is put into it as it is: what people have to say of the figures.
const remarksName = "REMARKS.md"

// save writes the report, and the JSON beside it, so that an end at any time leaves whole files.
func (r *results) save(report string) error {
	remarks, err := os.ReadFile(filepath.Join(filepath.Dir(report), remarksName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.Targets = r.judge()
	encoded, err := r.encode()
	if err != nil {
		return err
	}
	if err := snapshot.ReplaceFile(snapshot.Disk{}, jsonPath(report), encoded, 0o644, false); err != nil {
		return err
	}
	return snapshot.ReplaceFile(snapshot.Disk{}, report, []byte(r.markdown(filepath.Base(jsonPath(report)), string(remarks))), 0o644, false)
}

// jsonPath puts results.json beside RESULTS.md.
func jsonPath(report string) string {
	name := strings.TrimSuffix(filepath.Base(report), filepath.Ext(report))
	return filepath.Join(filepath.Dir(report), strings.ToLower(name)+".json")
}
