package apps

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// memo remembers for apps, by name, what their files were when they were read, so that it costs a few system calls
// rather than a build to see that an app has not changed.
type memo struct {
	mutex sync.Mutex
	by    map[string]memoized
}

// memoized is what an app was read from.
type memoized struct {
	inputs []string // absolute paths, of what is missing too
	stamp  stamp    // of the inputs, and of the settings that count
	source SourceID
	size   int64 // of the kept source, in bytes
}

// stamp is a hash of what stat says of files.
type stamp [sha256.Size]byte

const (
	// memoInputsMax is how many inputs of an app are remembered; what has more is read again.
	memoInputsMax = 128
	// memoSettled is how old a change must be for later ones to be seen: clocks of file systems tick slowly.
	memoSettled = 20 * time.Millisecond
	// memoLinksMax is how many symbolic links a path may lead through, as in Linux.
	memoLinksMax = 40
)

// note remembers that app was read from inputs, beginning at a time, and kept as source with size bytes. If some of
// that may have changed since then, nothing is remembered, since nobody knows which state was read.
func (m *memo) note(app *App, inputs []string, began time.Time, source SourceID, size int64) {
	m.mutex.Lock()
	delete(m.by, app.Name)
	m.mutex.Unlock()
	if app.Root != "" || len(inputs) > memoInputsMax {
		return
	}
	quiet := quietPaths{before: began.Add(-memoSettled), known: map[string]string{}}
	now, err := stampOf(app, inputs) // first: what changes from here on is seen by the next one
	for _, path := range inputs {
		if _, isQuiet := quiet.resolve(path, 0); !isQuiet || err != nil {
			return
		}
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.by == nil {
		m.by = map[string]memoized{}
	}
	if len(inputs) == 1 && inputs[0] == app.Main {
		inputs = []string{app.Main} // the configuration has it already
	}
	m.by[app.Name] = memoized{inputs, now, source, size}
}

// find gives what an app was read from, if all of that is as it was.
func (m *memo) find(app *App) (known memoized, ok bool) {
	m.mutex.Lock()
	known, ok = m.by[app.Name]
	m.mutex.Unlock()
	if !ok || app.Root != "" {
		return memoized{}, false
	}
	now, err := stampOf(app, known.inputs)
	return known, err == nil && now == known.stamp
}

// forget forgets an app that was read from a source.
func (m *memo) forget(name string, source SourceID) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.by[name].source == source {
		delete(m.by, name)
	}
}

// stampOf describes the inputs of an app, and how they are read.
func stampOf(app *App, inputs []string) (s stamp, err error) {
	data := make([]byte, 0, 256)
	data = append(append(data, app.Main...), 0)
	data = append(append(data, app.Warmup...), 0)
	if !app.Bundling.IsZero() {
		settings, err := json.Marshal(&app.Bundling)
		if err != nil {
			return s, err
		}
		data = append(data, settings...)
	}
	for _, path := range inputs {
		var status unix.Stat_t
		switch err := unix.Stat(path, &status); {
		case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR):
			data = append(data, 0)
			continue
		case err != nil:
			return s, &os.PathError{Op: "stat", Path: path, Err: err}
		}
		data = append(data, 1)
		for _, value := range []uint64{status.Dev, status.Ino, uint64(status.Mode), uint64(status.Size),
			uint64(status.Mtim.Nano()), uint64(status.Ctim.Nano())} {
			data = binary.LittleEndian.AppendUint64(data, value)
		}
	}
	return sha256.Sum256(data), nil
}

// quietPaths tells whether paths have led to the same files for some time: neither these, nor the folders and
// symbolic links on the way to them, have changed. It goes by their ctime, which nobody can set.
type quietPaths struct {
	before time.Time         // when the last change may have been
	known  map[string]string // folders, by the paths that lead to them; "": not quiet
}

// resolve gives the path without symbolic links, after links of them.
func (q *quietPaths) resolve(path string, links int) (real string, isQuiet bool) {
	if path == "/" {
		return path, true
	}
	if real, ok := q.known[path]; ok {
		return real, real != ""
	}
	q.known[path] = ""
	folder, isQuiet := q.resolve(filepath.Dir(path), links)
	if !isQuiet {
		return "", false
	}
	real = filepath.Join(folder, filepath.Base(path))
	var status unix.Stat_t
	err := unix.Lstat(real, &status)
	switch isMissing := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR); {
	case isMissing: // since its folder has changed last
	case err != nil || !time.Unix(0, status.Ctim.Nano()).Before(q.before):
		return "", false
	case status.Mode&unix.S_IFMT == unix.S_IFLNK:
		target, err := os.Readlink(real)
		if err != nil || links == memoLinksMax {
			return "", false
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(folder, target)
		}
		if real, isQuiet = q.resolve(filepath.Clean(target), links+1); !isQuiet {
			return "", false
		}
	}
	q.known[path] = real
	return real, true
}

// Known is what Keep would give for an app, found out without reading its files: they are as they were when they were
// read last. false: some may have changed, or the source is not kept any more. Nothing is held for the caller.
func (s *Set) Known(app App) (id SourceID, ok bool) {
	known, ok := s.memo.find(&app)
	if !ok {
		return SourceID{}, false
	}
	info, err := os.Stat(s.options.Sources.path(known.source))
	if err != nil || info.Size() != known.size {
		return SourceID{}, false
	}
	return known.source, true
}
