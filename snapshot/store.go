package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Store is a folder of snapshot files, each named by the hash of its key. Several processes may
// share it: they write the same files, whole ones, over each other.
type Store struct{ Folder string }

const (
	fileSuffix      = ".snapshot"
	temporaryPrefix = ".new-" // of files that are being written
)

// Path is where the file of key lies, if there is one.
func (s Store) Path(key Key) string { return filepath.Join(s.Folder, key.Hash()+fileSuffix) }

// Has tells whether there is a file for key, without looking into it.
func (s Store) Has(key Key) bool {
	info, err := os.Stat(s.Path(key))
	return err == nil && info.Mode().IsRegular()
}

// Load opens the file of key. fs.ErrNotExist: there is none. Any other error: it is not to be used;
// build the snapshot again and Save it.
func (s Store) Load(key Key) (*File, error) {
	file, err := Open(s.Path(key))
	if err != nil {
		return nil, err
	}
	if err := file.Check(key); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.Path(key), err), file.Close())
	}
	return file, nil
}

// Save writes the file of key, making the folder if need be.
func (s Store) Save(key Key, sections []Section) error {
	if err := os.MkdirAll(s.Folder, 0o700); err != nil {
		return err
	}
	return write(s.Path(key), Encode(key, sections), 0o600)
}

// Write writes a snapshot file anywhere, with the permissions that the user's umask leaves. A reader
// sees the whole file or what was there before, also after a crash.
func Write(path string, key Key, sections []Section) error {
	return write(path, Encode(key, sections), 0o666)
}

// LoadOrBuild gives the file of key, building and saving it when there is no usable one. note is what
// an operator may want to know: why a file was rejected, or why the new one was not saved; the file
// lies in memory then.
func (s Store) LoadOrBuild(key Key, build func() ([]Section, error)) (file *File, note, err error) {
	file, loadErr := s.Load(key)
	if loadErr == nil {
		return file, nil, nil
	}
	if !errors.Is(loadErr, fs.ErrNotExist) {
		note = loadErr
	}
	sections, err := build()
	if err != nil {
		return nil, note, err
	}
	saveErr := s.Save(key, sections)
	if saveErr == nil {
		if file, saveErr = s.Load(key); saveErr == nil {
			return file, note, nil
		}
	}
	file, err = Decode(Encode(key, sections))
	return file, errors.Join(note, saveErr), err
}

// Touch says that the file of key is in use, to a Sweep of other processes too.
func (s Store) Touch(key Key) error {
	now := time.Now()
	return os.Chtimes(s.Path(key), time.Time{}, now)
}

// Sweep removes what nobody needs any more, if it is older than age: files that keep does not know
// (it is asked for their Path), and what writers left that were ended half-way. Their age counts
// from when they were written or touched last, since other nodes that share the folder may use them.
// The error joins those of all files that could not be removed.
func (s Store) Sweep(keep func(path string) bool, age time.Duration) (removed int, err error) {
	entries, err := os.ReadDir(s.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var failed error
	for _, entry := range entries {
		path, isSnapshot := filepath.Join(s.Folder, entry.Name()), strings.HasSuffix(entry.Name(), fileSuffix)
		isLeft := strings.HasPrefix(entry.Name(), temporaryPrefix)
		if !entry.Type().IsRegular() || !isLeft && (!isSnapshot || keep(path)) {
			continue
		}
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < age {
			continue // gone by now, or young
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
			continue
		}
		removed++
	}
	return removed, failed
}

// write replaces the file at path, so that the name outlives a crash too.
func write(path string, data []byte, permissions fs.FileMode) error {
	return ReplaceFile(Disk{}, path, data, permissions, true)
}
