package apps

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nano/isolates"
	"nano/snapshot"
)

// Sources is a folder that keeps what apps consist of, each under the hash of its content: the files
// that an app was deployed from may change or go, and it can still be started, and gone back to.
// Apps with the same source share one file.
type Sources struct {
	Folder string
	// Files is how files are written and removed; nil: on the disk. Tests make it fail.
	Files snapshot.Files

	mutex  sync.Mutex
	holds  map[SourceID]int      // who needs it
	images map[SourceID][]string // paths of images that go with it, see attach
}

// SourceID is the hash of a kept source; the zero SourceID: none.
type SourceID [sha256.Size]byte

// String is 64 hexadecimal digits.
func (id SourceID) String() string { return hex.EncodeToString(id[:]) }

// IsZero tells whether id names no source.
func (id SourceID) IsZero() bool { return id == SourceID{} }

// ParseSourceID reads what String wrote.
func ParseSourceID(text string) (id SourceID, err error) {
	if hex.DecodedLen(len(text)) != len(id) {
		return id, fmt.Errorf("%q is not the hash of a source", text)
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return SourceID{}, fmt.Errorf("%q is not the hash of a source", text)
	}
	return id, nil
}

// The layout of a file: magic, the warm-up path of a `nano build` file after its length in four
// bytes, little-endian, and isolates.Bundle.Encode. Its name is the SHA-256 of all that.
const (
	sourceMagic     = "NANOSRC1"
	sourceSuffix    = ".source"
	sourceWarmupMax = 64 << 10
)

// ErrSource is wrapped by errors of sources that are damaged.
var ErrSource = errors.New("damaged source")

func encodeSource(bundle *isolates.Bundle, warmup string) (data []byte, id SourceID) {
	encoded := bundle.Encode()
	data = append(make([]byte, 0, len(sourceMagic)+4+len(warmup)+len(encoded)), sourceMagic...)
	data = binary.LittleEndian.AppendUint32(data, uint32(len(warmup)))
	data = append(data, warmup...)
	data = append(data, encoded...)
	return data, sha256.Sum256(data)
}

func decodeSource(data []byte, id SourceID) (bundle *isolates.Bundle, warmup string, err error) {
	if sha256.Sum256(data) != id {
		return nil, "", ErrSource
	}
	rest, isSource := bytes.CutPrefix(data, []byte(sourceMagic))
	if !isSource || len(rest) < 4 {
		return nil, "", ErrSource
	}
	length := binary.LittleEndian.Uint32(rest)
	if rest = rest[4:]; length > sourceWarmupMax || int(length) > len(rest) {
		return nil, "", ErrSource
	}
	bundle, err = isolates.DecodeBundle(rest[length:])
	return bundle, string(rest[:length]), err
}

func (s *Sources) path(id SourceID) string {
	return filepath.Join(s.Folder, id.String()+sourceSuffix)
}

func (s *Sources) files() snapshot.Files {
	if s.Files == nil {
		return snapshot.Disk{}
	}
	return s.Files
}

// save keeps a source, and holds it until release. A file that is there is not written again, unless it is
// damaged: whoever deploys an app anew must get it. What is to outlive a crash of the machine goes through
// Set.Persist, too.
func (s *Sources) save(data []byte, id SourceID) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	path := s.path(id)
	if found, err := os.ReadFile(path); err != nil || !bytes.Equal(found, data) {
		if err := os.MkdirAll(s.Folder, 0o700); err != nil {
			return err
		}
		if err := snapshot.ReplaceFile(s.files(), path, data, 0o600, false); err != nil {
			return err
		}
	}
	s.holdLocked(id)
	return nil
}

func (s *Sources) holdLocked(id SourceID) {
	if s.holds == nil {
		s.holds = map[SourceID]int{}
	}
	s.holds[id]++
}

func (s *Sources) hold(id SourceID) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.holdLocked(id)
}

// release takes back what save or hold did, and reports whether nobody holds the source any more.
func (s *Sources) release(id SourceID) (isFree bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.holds[id] > 1 {
		s.holds[id]--
		return false
	}
	delete(s.holds, id)
	return true
}

// load reads a kept source.
func (s *Sources) load(id SourceID) (bundle *isolates.Bundle, warmup string, err error) {
	data, err := os.ReadFile(s.path(id))
	if err != nil {
		return nil, "", err
	}
	return decodeSource(data, id)
}

// Has tells whether a source is kept, whole.
func (s *Sources) Has(id SourceID) bool {
	_, _, err := s.load(id)
	return err == nil
}

// attach has an image be deleted with a source that somebody holds, or has pinned.
func (s *Sources) attach(id SourceID, image string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if slices.Contains(s.images[id], image) {
		return
	}
	if s.images == nil {
		s.images = map[SourceID][]string{}
	}
	s.images[id] = append(s.images[id], image)
}

// remove deletes a source that nobody holds, and the images that go with it.
func (s *Sources) remove(id SourceID) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.holds[id] != 0 {
		return
	}
	for _, path := range append(s.images[id], s.path(id)) {
		_ = s.files().Remove(path) // absent: just as well
	}
	delete(s.images, id)
}

// sweep removes the sources that nobody holds or has pinned, and what writers left that were ended
// half-way, once they have that age.
func (s *Sources) sweep(isPinned func(SourceID) bool, age time.Duration) (removed int, err error) {
	entries, err := os.ReadDir(s.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		name, isSource := strings.CutSuffix(entry.Name(), sourceSuffix)
		info, infoErr := entry.Info()
		if infoErr != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < age {
			continue // gone by now, or young
		}
		id, idErr := ParseSourceID(name)
		isLeft := strings.HasPrefix(entry.Name(), snapshot.TemporaryPrefix)
		if !isLeft && (!isSource || idErr != nil || isPinned(id) || s.isHeld(id)) {
			continue
		}
		if removeErr := os.Remove(filepath.Join(s.Folder, entry.Name())); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
			continue
		}
		removed++
	}
	return removed, err
}

func (s *Sources) isHeld(id SourceID) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.holds[id] > 0
}

// touch says to the sweeps of other nodes that share the folder that a source is in use.
func (s *Sources) touch(id SourceID) {
	_ = os.Chtimes(s.path(id), time.Time{}, time.Now()) // absent: it is read from its files again
}
