package apps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"nano/isolates"
	"nano/snapshot"
)

const (
	// builderIdle is after how long without work the builder process is ended.
	builderIdle = 10 * time.Second
	// retryDelay is for how long nothing is built after the machine refused: no process could be
	// started, or nothing written.
	retryDelay = time.Minute
	// builtTold is how many images are built in one go without a word.
	builtTold = 100
	// sweepAge is the age at which files of the store are removed that no app here uses.
	sweepAge = 24 * time.Hour
)

// queue holds the apps that want an image: first those whose requests have come, then the others.
type queue struct {
	mutex  sync.Mutex
	jobs   []*job // that somebody waits for; they come before all apps
	urgent []*entry
	others []*entry
	wants  map[*entry]bool // app → whether it is urgent
	filled chan struct{}   // holds one token when something was added
}

func (q *queue) init() {
	q.wants = map[*entry]bool{}
	q.filled = make(chan struct{}, 1)
}

func (q *queue) want(app *entry, isUrgent bool) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if app.isGone.Load() {
		return
	}
	wasUrgent, isKnown := q.wants[app]
	if isKnown && (wasUrgent || !isUrgent) {
		return
	}
	q.wants[app] = isUrgent
	if isUrgent {
		q.urgent = append(q.urgent, app)
	} else {
		q.others = append(q.others, app)
	}
	q.tell()
}

func (q *queue) tell() {
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

// drop forgets an app that was removed.
func (q *queue) drop(app *entry) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	delete(q.wants, app)
}

// take gives the next app.
func (q *queue) take() (app *entry, ok bool) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for {
		if app, ok = pop(&q.urgent); !ok {
			if app, ok = pop(&q.others); !ok {
				return nil, false
			}
		}
		// An app that became urgent is in both lists.
		if _, isWanted := q.wants[app]; isWanted {
			delete(q.wants, app)
			return app, true
		}
	}
}

// hasUrgent tells whether an app is waited for.
func (q *queue) hasUrgent() bool {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	return len(q.urgent) > 0
}

func pop[T any](list *[]*T) (first *T, ok bool) {
	if len(*list) == 0 {
		return nil, false
	}
	first = (*list)[0]
	(*list)[0] = nil
	*list = (*list)[1:]
	if len(*list) == 0 {
		*list = nil
	}
	return first, true
}

// work is the background of a Set, on a thread of its own, which ends with it, and with the thread the
// builder: first the apps that are unread are read, then images are built as they are wanted. Jobs come
// between any two steps of that.
func (s *Set) work(unread []*entry) {
	defer close(s.ended)
	// Never unlocked. It has the priority of a loop, unlike the builder: Go's garbage collector stops
	// all threads at times, and would wait for one that others keep from running.
	runtime.LockOSThread()
	var reader reader
	defer reader.close()
	defer s.options.Builder.Rest()
	for _, e := range unread {
		s.runJobs(&reader)
		if s.isStopped() {
			return
		}
		if s.queue.hasUrgent() && s.trouble == "" {
			s.note(s.buildNext(&reader))
		}
		if e.isGone.Load() {
			continue
		}
		if _, err := s.read(e, &reader); err != nil {
			s.options.Logger.Error(err.Error(), "app", e.Name)
		}
	}
	s.sweep()
	s.options.Bundler.Sweep()
	for s.waitForWork(&reader) {
		s.runJobs(&reader)
		if s.note(s.buildNext(&reader)); s.trouble != "" {
			s.pause(&reader, retryDelay)
		}
	}
}

// note logs what keeps images from being built when it comes up.
func (s *Set) note(err error) {
	if err == nil || s.isStopped() {
		s.trouble = ""
		return
	}
	if err.Error() != s.trouble {
		s.options.Logger.Warn("images cannot be built, apps start from their sources: " + err.Error())
	}
	s.trouble = err.Error()
}

func (s *Set) isStopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// pause does nothing but jobs for a while.
func (s *Set) pause(reader *reader, duration time.Duration) {
	over := time.After(duration)
	for {
		select {
		case <-s.stop:
			return
		case <-over:
			s.queue.tell() // a token may have been taken here
			return
		case <-s.queue.filled:
			s.runJobs(reader)
		}
	}
}

// waitForWork waits until something is to be built. False: the Set was closed. When that takes long,
// the builder and what else costs memory goes.
func (s *Set) waitForWork(reader *reader) bool {
	for {
		if s.isStopped() {
			return false
		}
		if !s.queue.isEmpty() {
			return true
		}
		if s.built > builtTold {
			s.options.Logger.Info("images are built", "files", s.built)
		}
		s.built = 0
		select {
		case <-s.stop:
		case <-s.queue.filled:
		case <-time.After(builderIdle):
			s.options.Builder.Rest()
			reader.close()
			select {
			case <-s.stop:
			case <-s.queue.filled:
			}
		}
	}
}

func (q *queue) isEmpty() bool {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	return len(q.wants) == 0 && len(q.jobs) == 0
}

// buildNext builds the image of the next app that wants one. An error is about the machine: the app
// stays in the queue.
func (s *Set) buildNext(reader *reader) error {
	s.isBuilding.Store(true)
	defer s.isBuilding.Store(false)
	e, ok := s.queue.take()
	if !ok || e.isGone.Load() {
		return nil
	}
	source, err := s.source(e, reader) // read again, so that nothing waits in memory
	if err != nil {
		s.options.Logger.Error("cannot be read any more: "+err.Error(), "app", e.Name)
		return nil
	}
	err = s.ensureImage(e, source)
	var problem *ProblemError
	switch {
	case errors.As(err, &problem):
		s.options.Logger.Error(problem.What, "app", e.Name)
		return nil
	case errors.Is(err, errNoImage):
		return nil
	case err != nil:
		s.queue.want(e, e.started.Load() != nil)
		return err
	}
	s.useImageOf(e, source)
	return nil
}

// useImageOf has an app started from its image in the store from now on.
func (s *Set) useImageOf(e *entry, source Source) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.image, e.hash = s.options.Store.Path(source.Key), source.Key.App
	app := e.started.Load()
	if app == nil {
		return // it is opened when it is needed
	}
	image, err := s.openImage(e)
	if err != nil {
		s.giveUpImage(e, err)
		return
	}
	app.SetImage(image)
}

// A ProblemError says that an app cannot be started at all, with the place in its source.
type ProblemError struct{ What string }

// Error is the problem.
func (e *ProblemError) Error() string { return e.What }

// errNoImage: there is nothing for the store, which was logged.
var errNoImage = errors.New("no image")

// ensureImage has the image of an app in the store: another app with the same source, or another
// node, may have brought it there by now.
func (s *Set) ensureImage(e *entry, source Source) error {
	if file, err := s.options.Store.Load(source.Key); err == nil {
		return file.Close()
	}
	reply, err := s.options.Builder.BuildImage(Request{Name: e.Name, Warmup: source.Warmup, Bundle: source.Bundle.Encode()})
	var death *DeathError
	switch {
	case s.isStopped():
		return errNoImage
	case errors.As(err, &death):
		s.options.Logger.Warn("starts from its source, because it cannot be snapshotted: "+death.What, "app", e.Name)
		return errNoImage
	case err != nil:
		return err
	case reply.Problem != "":
		return &ProblemError{reply.Problem}
	}
	image, err := snapshot.Decode(reply.Image)
	if err != nil {
		return err
	}
	if err := image.Check(source.Key); err != nil {
		return err // the builder is of another version: nano was replaced while it ran
	}
	s.logStart(e, reply.Log)
	if reply.HasDied {
		return s.useUnstored(e, reply.Image)
	}
	err = s.options.Store.Save(source.Key, image.Sections())
	if err == nil {
		s.built++
	}
	var path *fs.PathError
	if errors.As(err, &path) { // its name differs each time
		err = fmt.Errorf("state_dir: %s: %w", path.Op, path.Err)
	}
	return err
}

// startLevels are the levels of what an app logs. It goes to the log as that of its requests does.
var startLevels = [...]slog.Level{
	isolates.LevelDebug: slog.LevelDebug, isolates.LevelInfo: slog.LevelInfo, isolates.LevelWarn: slog.LevelWarn,
	isolates.LevelError: slog.LevelError, isolates.LevelUncaught: slog.LevelError,
}

// logStart logs what an app logged at its top level when its image was built, unless an isolate has
// logged it that was started from its source.
func (s *Set) logStart(e *entry, lines []isolates.LogLine) {
	if e.started.Load() != nil {
		return
	}
	for _, line := range lines {
		level := startLevels[min(line.Level, isolates.LevelUncaught)]
		attributes := []slog.Attr{slog.String("app", e.Name)}
		if line.Source != "" {
			attributes = append(attributes, slog.String("source", line.Source))
		}
		s.options.Logger.LogAttrs(context.Background(), level, line.Text, attributes...)
	}
}

// useUnstored has an app started from an image in memory until the node ends: the next one tries to
// snapshot it again, since what killed the builders may have been a shortage of memory.
func (s *Set) useUnstored(e *entry, image []byte) error {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	app := e.started.Load()
	if app == nil {
		return errNoImage // it is built again should a request come
	}
	memory, err := snapshot.InMemory(image)
	if err != nil {
		return err
	}
	opened, err := s.useImage(e, func() (*snapshot.File, error) { return snapshot.OpenFile(memory) })
	if err != nil {
		return errors.Join(err, memory.Close())
	}
	app.SetImage(opened)
	return errNoImage
}

// sweep removes the files of the store that no app here uses, and none has used for long.
func (s *Set) sweep() {
	runtimeKey := s.options.Runtime.Key()
	_ = s.options.Store.Touch(runtimeKey) // absent if state_dir cannot be written to
	used := map[string]bool{s.options.Store.Path(runtimeKey): true}
	for _, e := range *s.entries.Load() {
		if e != nil {
			e.mutex.Lock()
			used[e.image] = true
			e.mutex.Unlock()
		}
	}
	removed, err := s.options.Store.Sweep(func(path string) bool { return used[path] }, sweepAge)
	if s.options.Sources != nil {
		_, sourcesErr := s.options.Sources.sweep(s.isPinned, sweepAge)
		err = errors.Join(err, sourcesErr)
	}
	if err != nil {
		s.options.Logger.Warn("state_dir: " + err.Error())
	}
	if removed > 0 {
		s.options.Logger.Info("removed images that no app uses any more", "files", removed)
	}
}
