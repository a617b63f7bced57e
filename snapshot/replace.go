package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

// Files are the operations by which files are replaced, one for each step that a crash, or a full
// disk, may come after. Disk is the real one.
type Files interface {
	// Write makes a file, which must not be there yet, with the whole content.
	Write(path string, content []byte, permissions fs.FileMode) error
	// Sync forces a file, or the names in a folder, to the disk.
	Sync(path string) error
	Rename(from, to string) error
	// Remove removes a file. An error that wraps fs.ErrNotExist: it is not there.
	Remove(path string) error
}

// Disk is the Files of the operating system.
type Disk struct{}

// Write implements Files.
func (Disk) Write(path string, content []byte, permissions fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, permissions)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

// Sync implements Files.
func (Disk) Sync(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	err = file.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil // the file system knows no such thing
	}
	return errors.Join(err, file.Close())
}

// Rename implements Files.
func (Disk) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements Files.
func (Disk) Remove(path string) error { return os.Remove(path) }

// TemporaryPrefix is how the names begin of files that are being written. Those that are left were
// being written when the process or the machine ended.
const TemporaryPrefix = temporaryPrefix

var replacements atomic.Uint64 // for names that are unique in the process

// ReplaceFile writes a file anew: a reader sees the whole new content or what was there before. If
// isDurable, that holds after a crash of the machine too, and the new content is on the disk when the
// function returns. On an error what was there before is there still, and nothing else is left.
func ReplaceFile(files Files, path string, content []byte, permissions fs.FileMode, isDurable bool) error {
	folder := filepath.Dir(path)
	temporary := filepath.Join(folder, fmt.Sprintf("%s%d-%d", temporaryPrefix, os.Getpid(), replacements.Add(1)))
	err := files.Write(temporary, content, permissions)
	if errors.Is(err, fs.ErrExist) { // of a process before this one, with the same number
		if err = files.Remove(temporary); err == nil {
			err = files.Write(temporary, content, permissions)
		}
	}
	if err == nil && isDurable {
		err = files.Sync(temporary)
	}
	if err == nil {
		err = files.Rename(temporary, path)
	}
	if err != nil {
		_ = files.Remove(temporary) // what matters is why it could not be written
		return err
	}
	if isDurable {
		return files.Sync(folder)
	}
	return nil
}
