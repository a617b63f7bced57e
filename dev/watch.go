package dev

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is for how long nothing must have changed before a change is told: an editor empties a file before it
	// writes it, and git writes many.
	quiet = 4 * time.Millisecond
	// quietMax is for how long that may put it off.
	quietMax = 60 * time.Millisecond
	// pollPause is how often files are looked at where the kernel tells nothing.
	pollPause = 200 * time.Millisecond
	// linksMax bounds a chain of symbolic links.
	linksMax = 40
)

// watcher tells of changes of files and folders, those among them that do not exist yet. The folders that they lie in
// are watched, so that it sees files that are replaced by renaming another over them. Of a folder it tells when the
// names in it change.
type watcher struct {
	notify  *fsnotify.Watcher // nil: it polls
	logger  *slog.Logger
	changes chan change // has room for one

	mutex   sync.Mutex
	wanted  []string            // what Watch was given
	trees   []string            // folders among them that count with all that is below
	below   map[string]string   // folders of trees → what they are called in terms of trees
	paths   map[string][]string // what is seen to change → which of wanted that concerns
	folders map[string]bool     // that are watched
	states  map[string]state    // of polling, by path
	isMoved bool                // place is due: folders or links may have come or gone
	isHuge  bool                // there are more folders in trees than are watched, which was said
	stop    chan struct{}
	ended   sync.WaitGroup
}

// change is what has changed since when.
type change struct {
	paths []string // of those that are watched
	since time.Time
	// isAll: nobody knows what has, since the kernel had no room for more events.
	isAll bool
}

// with is a change together with a later one.
func (c change) with(later change) change {
	return change{paths: slices.Concat(c.paths, later.paths), since: c.since, isAll: c.isAll || later.isAll}
}

// newWatcher starts a watcher that watches nothing.
func newWatcher(logger *slog.Logger) *watcher {
	w := &watcher{logger: logger, changes: make(chan change, 1), stop: make(chan struct{})}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		w.poll(err)
		return w
	}
	w.notify = notify
	w.ended.Go(func() { w.run(notify.Events, notify.Errors) })
	return w
}

// close ends it.
func (w *watcher) close() {
	close(w.stop)
	w.mutex.Lock()
	if w.notify != nil {
		_ = w.notify.Close()
	}
	w.mutex.Unlock()
	w.ended.Wait()
}

// watch watches these absolute paths instead of those before. What has changed since a time, before it was watched,
// is told, too. Of the folders among them that are trees all changes below are told, by the path of what has changed,
// but for hidden files and those that editors keep beside others.
func (w *watcher) watch(paths, trees []string, since time.Time) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.wanted, w.trees = paths, trees
	w.place(since)
}

// place sets up what is watched for wanted. The mutex is held.
func (w *watcher) place(since time.Time) {
	w.paths = map[string][]string{}
	folders := map[string]bool{}
	for _, path := range w.wanted {
		w.follow(path, folders)
	}
	w.below = map[string]string{}
	for _, tree := range w.trees {
		w.descend(tree, func(folder string) {
			folders[folder] = true
			if w.notify != nil && !w.folders[folder] {
				_ = w.notify.Add(folder) // before it is read: of a folder that comes meanwhile the kernel tells; see below for errors
			}
		})
	}
	if w.notify == nil {
		w.begin(since)
		return
	}
	added := map[string]bool{}
	for folder := range folders {
		if w.folders[folder] {
			continue
		}
		switch err := w.notify.Add(folder); {
		case err == nil:
			added[folder] = true
		case errors.Is(err, fs.ErrNotExist):
			delete(folders, folder) // it was removed meanwhile, and its parent is told
		case errors.Is(err, fs.ErrPermission):
			delete(folders, folder)
		default:
			_ = w.notify.Close()
			w.notify = nil
			w.poll(err)
			w.begin(since)
			return
		}
	}
	for folder := range w.folders {
		if !folders[folder] {
			_ = w.notify.Remove(folder) // it may be gone
		}
	}
	w.folders = folders
	w.catchUp(added, since)
}

// follow notes the folders that tell of changes of a path: those in which its links and files lie, or of which a part
// of it is missing.
func (w *watcher) follow(path string, folders map[string]bool) {
	target := path
	rest := strings.Split(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
	at, links := "/", 0
	for len(rest) > 0 {
		next := filepath.Join(at, rest[0])
		info, err := os.Lstat(next)
		isLast := len(rest) == 1
		switch {
		case err != nil:
			w.note(next, target)
			folders[at] = true
			return
		case info.Mode()&fs.ModeSymlink != 0 && links < linksMax:
			links++
			w.note(next, target)
			folders[at] = true
			link, err := os.Readlink(next)
			if err != nil {
				return
			}
			if filepath.IsAbs(link) {
				at, rest = "/", append(parts(link), rest[1:]...)
			} else {
				at, rest = "/", append(parts(filepath.Join(at, link)), rest[1:]...)
			}
		case isLast && info.IsDir():
			w.note(next+"/", target)
			w.note(next, target)
			folders[next] = true
			return
		case isLast:
			w.note(next, target)
			folders[at] = true
			return
		default:
			at, rest = next, rest[1:]
		}
	}
}

// treeFoldersMax bounds the folders of trees that are watched.
const treeFoldersMax = 2000

// descend notes the folders of a tree, each before it reads what is in there. Links in it are not followed, as they are not when files are served.
func (w *watcher) descend(tree string, each func(folder string)) {
	root, err := filepath.EvalSymlinks(tree)
	if err != nil {
		return // follow tells when it comes
	}
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil // what cannot be read is not served, either
		}
		if path != root && strings.HasPrefix(entry.Name(), ".") && path != filepath.Join(root, ".well-known") {
			return fs.SkipDir // nor is that
		}
		if len(w.below) >= treeFoldersMax {
			if !w.isHuge {
				w.logger.Warn(fmt.Sprintf("%s has more than %d folders: changes in the others are not noticed", tree, treeFoldersMax))
			}
			w.isHuge = true
			return fs.SkipAll
		}
		w.below[path] = tree + strings.TrimPrefix(path, root)
		each(path)
		return nil
	})
}

// inTree is a file that has changed as trees call it; "": it is in none, or of no interest.
func (w *watcher) inTree(path string) string {
	folder, name := filepath.Split(path)
	called, isBelow := w.below[filepath.Clean(folder)]
	if !isBelow || strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
		return ""
	}
	return filepath.Join(called, name)
}

func parts(path string) []string { return strings.Split(strings.Trim(filepath.Clean(path), "/"), "/") }

func (w *watcher) note(seen, wanted string) {
	if !slices.Contains(w.paths[seen], wanted) {
		w.paths[seen] = append(w.paths[seen], wanted)
	}
}

// timeGrain is how much older than the clock the time of a file may be that was written now.
const timeGrain = 10 * time.Millisecond

// catchUp tells of changes in folders that were not watched when they were made.
func (w *watcher) catchUp(added map[string]bool, since time.Time) {
	if since.IsZero() {
		return
	}
	var changed []string
	for path, wanted := range w.paths {
		folder := filepath.Dir(path)
		if strings.HasSuffix(path, "/") {
			folder = strings.TrimSuffix(path, "/")
		}
		if !added[folder] {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.ModTime().After(since.Add(-timeGrain)) {
			changed = append(changed, wanted...)
		}
	}
	if len(changed) > 0 {
		w.tell(change{paths: changed, since: time.Now()})
	}
}

// run gathers what the kernel tells until it is quiet.
func (w *watcher) run(events <-chan fsnotify.Event, failures <-chan error) {
	timer := time.NewTimer(quiet)
	timer.Stop()
	var gathered change
	for {
		select {
		case event, ok := <-events:
			if !ok {
				return
			}
			if w.take(event, &gathered) {
				timer.Reset(min(quiet, max(0, quietMax-time.Since(gathered.since))))
			}
		case err, ok := <-failures:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				if gathered.since.IsZero() {
					gathered.since = time.Now()
				}
				gathered.isAll = true
				timer.Reset(quiet)
				continue
			}
			w.logger.Warn("files cannot be watched: " + err.Error())
		case <-timer.C:
			w.mutex.Lock()
			if w.isMoved {
				w.isMoved = false
				w.place(gathered.since)
			}
			if len(gathered.paths) > 0 || gathered.isAll {
				w.tell(gathered)
			}
			w.mutex.Unlock()
			gathered = change{}
		}
	}
}

// take adds an event to what is gathered; false: it is of no interest.
func (w *watcher) take(event fsnotify.Event, gathered *change) bool {
	if event.Op == fsnotify.Chmod && !w.isFile(event.Name) {
		return false
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	isNaming := event.Has(fsnotify.Create) || event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename)
	concerned := w.paths[event.Name]
	path := w.inTree(event.Name)
	_, isBelow := w.below[filepath.Dir(event.Name)]
	if isNaming && (path != "" || !isBelow) { // what an editor keeps in the uppermost folder of a tree is no news of that
		concerned = append(slices.Clone(concerned), w.paths[filepath.Dir(event.Name)+"/"]...)
	}
	if path != "" {
		concerned = append(slices.Clone(concerned), path)
	}
	isFolder := false // a new one in a tree
	if isBelow && event.Has(fsnotify.Create) {
		info, err := os.Lstat(event.Name)
		isFolder = err == nil && info.IsDir()
	}
	if isNaming && (isFolder || w.folders[event.Name] || len(w.paths[event.Name]) > 0) {
		w.drop(event.Name)
		w.isMoved = true
		if gathered.since.IsZero() {
			gathered.since = time.Now()
		}
	}
	if len(concerned) == 0 {
		return w.isMoved
	}
	if gathered.since.IsZero() {
		gathered.since = time.Now()
	}
	for _, path := range concerned {
		if !slices.Contains(gathered.paths, path) {
			gathered.paths = append(gathered.paths, path)
		}
	}
	return true
}

// drop forgets the watch of a folder that is not what it was, which has gone with it, and those of all below: they
// are where the folder is now, and another may have taken its place. The mutex is held.
func (w *watcher) drop(folder string) {
	delete(w.folders, folder)
	for each := range w.folders {
		if strings.HasPrefix(each, folder+"/") {
			delete(w.folders, each)
			if w.notify != nil {
				_ = w.notify.Remove(each) // it may be gone
			}
		}
	}
}

// isFile tells whether a path is that of a file whose permissions matter.
func (w *watcher) isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// tell puts a change where it is waited for, together with one that was not taken so far. The mutex is held.
func (w *watcher) tell(c change) {
	select {
	case before := <-w.changes:
		c = before.with(c)
	default:
	}
	w.changes <- c
}

// state is what polling compares.
type state struct {
	time  time.Time
	size  int64
	inode uint64
	mode  fs.FileMode
}

// poll looks at the files from time to time, since the kernel does not tell of them.
func (w *watcher) poll(why error) {
	w.logger.Warn("changes are noticed late, because the kernel does not tell of them: " + why.Error() +
		"; raise fs.inotify.max_user_watches and fs.inotify.max_user_instances with sysctl")
	w.ended.Go(func() {
		tick := time.NewTicker(pollPause)
		defer tick.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-tick.C:
				w.look()
			}
		}
	})
}

// begin notes how the files are that are watched from now on. The mutex is held.
func (w *watcher) begin(since time.Time) {
	before := w.states
	w.states = make(map[string]state, len(w.wanted))
	var changed []string
	for _, path := range w.polled() {
		known, isKnown := before[path]
		if !isKnown {
			known = stateOf(path)
			if !since.IsZero() && known.time.After(since.Add(-timeGrain)) {
				changed = append(changed, path)
			}
		}
		w.states[path] = known
	}
	if len(changed) > 0 {
		w.tell(change{paths: changed, since: time.Now()})
	}
}

// polled are the paths that polling looks at. The mutex is held.
func (w *watcher) polled() []string {
	if len(w.trees) == 0 {
		return w.wanted
	}
	paths := slices.Clone(w.wanted)
	w.below = map[string]string{}
	for _, tree := range w.trees {
		w.descend(tree, func(folder string) {
			entries, err := os.ReadDir(folder)
			if err != nil {
				return
			}
			paths = append(paths, w.below[folder]) // its time tells of files that are gone
			for _, entry := range entries {
				if path := w.inTree(filepath.Join(folder, entry.Name())); path != "" && !entry.IsDir() {
					paths = append(paths, path)
				}
			}
		})
	}
	return paths
}

// look compares the files with how they were before.
func (w *watcher) look() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var changed []string
	for _, path := range w.polled() {
		if now := stateOf(path); now != w.states[path] {
			changed = append(changed, path)
			w.states[path] = now
		}
	}
	if len(changed) > 0 {
		w.tell(change{paths: changed, since: time.Now()})
	}
}

func stateOf(path string) state {
	info, err := os.Stat(path)
	if err != nil {
		return state{}
	}
	return state{info.ModTime(), info.Size(), inodeOf(info), info.Mode()}
}
