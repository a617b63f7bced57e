package apps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

var (
	errUnknown = errors.New("apps: no app has this id")
	errClosed  = errors.New("apps: the node is ending")
)

// entry gives the app with an id; nil: there is none.
func (s *Set) entry(id int) *entry {
	entries := *s.entries.Load()
	if id < 0 || id >= len(entries) {
		return nil
	}
	return entries[id]
}

// set puts an entry, or nil, in the place of an id. s.change is held.
func (s *Set) setEntry(id int, e *entry) {
	entries := slices.Clone(*s.entries.Load())
	for len(entries) <= id {
		entries = append(entries, nil)
	}
	entries[id] = e
	s.entries.Store(&entries)
}

// holdConfigured holds the source that an app is to be started from.
func (s *Set) holdConfigured(e *entry) {
	if !e.Source.IsZero() && s.options.Sources != nil {
		s.options.Sources.hold(e.Source)
		s.options.Sources.touch(e.Source)
	}
}

// Put adds an app under an id that no other has. It is read by Ensure, or by the first Start.
func (s *Set) Put(id int, app App) error {
	s.change.Lock()
	defer s.change.Unlock()
	if s.entry(id) != nil {
		return fmt.Errorf("apps: id %d is taken", id)
	}
	e := &entry{App: app}
	s.holdConfigured(e)
	s.setEntry(id, e)
	return nil
}

// Ensure waits until isolates of an app can be started from its image, or it is known why from its
// source. A *ProblemError: the app does not start at all. Other errors are about its files or the
// machine. What cannot be done before ctx ends is not begun, and what is being done goes on.
func (s *Set) Ensure(ctx context.Context, id int) error {
	e := s.entry(id)
	if e == nil {
		return errUnknown
	}
	return s.do(ctx, func(reader *reader) error { return s.ensure(e, reader) })
}

func (s *Set) ensure(e *entry, reader *reader) error {
	source, err := s.read(e, reader)
	if err != nil || s.options.Direct {
		return err
	}
	if source.Bundle == nil { // it was read before
		if source, err = s.source(e, reader); err != nil {
			return err
		}
	}
	switch err := s.ensureImage(e, source); {
	case errors.Is(err, errNoImage):
		s.queue.drop(e) // what is known now need not be found out again
	case err != nil:
		return s.explain(&e.App, err)
	default:
		s.queue.drop(e)
		s.useImageOf(e, source)
	}
	return nil
}

// Remove forgets an app, of which no loop has an isolate any more. What it was started from is deleted
// if no other app is started from it and it is not Pinned.
func (s *Set) Remove(id int) {
	s.change.Lock()
	e := s.entry(id)
	if e != nil {
		s.setEntry(id, nil)
	}
	s.change.Unlock()
	if e == nil {
		return
	}
	e.isGone.Store(true)
	s.queue.drop(e)
	if s.options.Sources == nil {
		return
	}
	e.mutex.Lock() // it may be being built
	image, held := e.image, e.source
	e.mutex.Unlock()
	if held.IsZero() {
		held = e.Source
	}
	s.memo.forget(e.Name, held)
	if held.IsZero() {
		return
	}
	s.attach(held, image)
	s.Release(held)
}

// attach has an image of the store be deleted with the source that it is of, by whoever lets go of that last.
func (s *Set) attach(source SourceID, image string) {
	if filepath.Dir(image) == s.options.Store.Folder {
		s.options.Sources.attach(source, image)
	}
}

func (s *Set) isPinned(id SourceID) bool { return s.options.Pinned != nil && s.options.Pinned(id) }

// Version is the source that an app is started from; zero: it was not read yet, or cannot be.
func (s *Set) Version(id int) SourceID {
	e := s.entry(id)
	if e == nil {
		return SourceID{}
	}
	if !e.Source.IsZero() {
		return e.Source
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.source
}

// Problem is why an app cannot be started, as far as that is known without starting it.
func (s *Set) Problem(id int) error {
	e := s.entry(id)
	if e == nil {
		return errUnknown
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return e.err
}

// ErrState is wrapped by errors about state_dir, such as a full disk, rather than about an app.
var ErrState = errors.New("state_dir")

// Keep reads an app's files and keeps what they are now, with the image if Main is a file of
// `nano build`. Paths in messages and stack traces are relative to base; "": to Options.Base. The
// source is there until Release.
func (s *Set) Keep(ctx context.Context, app App, base string) (id SourceID, err error) {
	err = s.do(ctx, func(reader *reader) error {
		source, err := s.readFiles(reader, &app, cmp.Or(base, s.options.Base))
		if err != nil {
			return s.explain(&app, err)
		}
		data, found := encodeSource(source.Bundle, source.ownWarmup(&app))
		if err := s.options.Sources.save(data, found); err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
		if !s.options.Direct {
			s.attach(found, s.findImage(&entry{App: app}, source))
		}
		s.memo.note(&app, source.Inputs, source.began, found, int64(len(data)))
		id = found
		return nil
	})
	return id, err
}

// Release takes back a Keep. What nobody else needs is deleted, images included.
func (s *Set) Release(id SourceID) {
	if s.options.Sources.release(id) && !s.isPinned(id) {
		s.options.Sources.remove(id)
	}
}

// Persist has a kept source outlive a crash of the machine.
func (s *Set) Persist(id SourceID) error {
	files := s.options.Sources.files()
	if err := files.Sync(s.options.Sources.path(id)); err != nil {
		return err
	}
	return files.Sync(s.options.Sources.Folder)
}

// Forget deletes a source that is not Pinned any more, and its image, unless an app is started from it.
func (s *Set) Forget(id SourceID, warmup string) {
	if s.isPinned(id) || s.options.Sources.isHeld(id) {
		return
	}
	if bundle, own, err := s.options.Sources.load(id); err == nil {
		_ = os.Remove(s.options.Store.Path(s.options.Runtime.ImageKey(bundle, cmp.Or(warmup, own))))
	}
	s.options.Sources.remove(id)
}

// job is something that somebody waits for, done on the thread of the background.
type job struct {
	do   func(*reader) error
	done chan error // has room for the result
}

// do has the background do something as its next step, and waits for it.
func (s *Set) do(ctx context.Context, what func(*reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{do: what, done: make(chan error, 1)}
	s.queue.add(j)
	select {
	case err := <-j.done:
		return err
	case <-s.ended:
		return errClosed
	case <-ctx.Done():
	}
	if s.queue.withdraw(j) {
		return ctx.Err()
	}
	select { // it has begun: its effects must not come behind the caller's back
	case err := <-j.done:
		return err
	case <-s.ended:
		return errClosed
	}
}

func (q *queue) add(j *job) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.jobs = append(q.jobs, j)
	q.tell()
}

// withdraw takes a job back; false: it was begun.
func (q *queue) withdraw(j *job) bool {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	i := slices.Index(q.jobs, j)
	if i < 0 {
		return false
	}
	q.jobs = slices.Delete(q.jobs, i, i+1)
	return true
}

func (q *queue) takeJob() (*job, bool) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	return pop(&q.jobs)
}

// runJobs does what is waited for.
func (s *Set) runJobs(reader *reader) {
	for !s.isStopped() {
		j, ok := s.queue.takeJob()
		if !ok {
			return
		}
		j.done <- j.do(reader)
	}
}
