package static

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// A Folder is a folder whose files are served. Its methods may be called from any goroutine.
type Folder struct {
	path string

	mutex    sync.Mutex
	root     *root // nil: there is no folder now
	isClosed bool
}

// A root is the folder as it was opened: what is found by one root is of one state of the folder, though its
// path may have been made to name another one (a symbolic link to the newest release).
type root struct {
	fd         int
	dev, inode uint64
	users      int // guarded by Folder.mutex; Folder.root is one of them
}

// Open gives the folder at path. An error: there is none, or it may not be read.
func Open(path string) (*Folder, error) {
	f := &Folder{path: path}
	r, err := f.use()
	if err != nil {
		return nil, err
	}
	f.leave(r)
	return f, nil
}

// errClosed: a request of an app that is being removed may still look for a file.
var errClosed = errors.New("static: the folder is closed")

// Close frees what the folder holds, once searches that are going on have ended. Files that were found remain valid;
// no others are found.
func (f *Folder) Close() {
	f.mutex.Lock()
	r := f.root
	f.root, f.isClosed = nil, true
	f.mutex.Unlock()
	if r != nil {
		f.leave(r)
	}
}

// use gives the root for one search, to be left after it.
func (f *Folder) use() (*root, error) {
	var status unix.Stat_t
	if err := retry(func() error { return unix.Stat(f.path, &status) }); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.isClosed {
		return nil, fmt.Errorf("%s: %w", f.path, errClosed)
	}
	if r := f.root; r != nil && r.dev == status.Dev && r.inode == status.Ino {
		r.users++
		return r, nil
	}
	fd, err := unix.Open(f.path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	if err := unix.Fstat(fd, &status); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f.path, err), unix.Close(fd))
	}
	if old := f.root; old != nil {
		f.drop(old)
	}
	f.root = &root{fd: fd, dev: status.Dev, inode: status.Ino, users: 2}
	return f.root, nil
}

func (f *Folder) leave(r *root) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.drop(r)
}

// drop is leave under the mutex.
func (f *Folder) drop(r *root) {
	if r.users--; r.users == 0 {
		_ = unix.Close(r.fd) // a folder has nothing to flush
	}
}

// openTries bounds how often an open is tried that the kernel could not do safely while files were moved
// about (openat2(2), EAGAIN).
const openTries = 16

// open opens what a path below the root names, for reading. It never blocks on what is no regular file.
func (r *root) open(name string, flags uint64) (fd int, err error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	for range openTries {
		fd, err = unix.Openat2(r.fd, name, &how)
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}

// isNoFile tells an error that says that there is no such file for us from one of the system.
func isNoFile(err error) bool {
	for _, each := range []unix.Errno{unix.ENOENT, unix.ENOTDIR, unix.EXDEV, unix.ELOOP, unix.ENAMETOOLONG, unix.EACCES,
		unix.ENXIO, unix.ENODEV, unix.EPERM, unix.EINVAL} {
		if errors.Is(err, each) {
			return true
		}
	}
	return false
}

// Found is what there is at a path. All fields are zero if there is nothing.
type Found struct {
	File *File // to be served
	// IsFolder: it is a folder with an index, asked for without the slash that belongs at the end.
	IsFolder bool
	// Missing is the shortest part of the path, up to a slash or the end, at and below which there is
	// nothing; "": nothing is known but of this path.
	Missing string
	// Names are all names in the folder that Missing would lie in, unless there are more than namesMax: apps
	// are asked for many paths that are no files, each of them for the first time.
	Names Names
}

// Names are the names in a folder; nil: not known.
type Names map[string]struct{}

// namesMax bounds the folders whose names are listed.
const namesMax = 1024

// Index is the file that answers for its folder.
const Index = "index.html"

// Find looks for what answers a path that AppendPath made. last is what was found there before, of which
// what has not changed is kept; nil: nothing. What is in last, larger than InMemoryMax but no larger than memory, in
// bytes, is read into memory: whatever is asked for often shall not be read each time, but large files of which each
// is wanted once shall not take the memory of others. An error is one of the system, such as EMFILE.
func (f *Folder) Find(path string, last *File, memory int64) (Found, error) {
	r, err := f.use()
	if err != nil {
		if isNoFile(err) {
			return Found{}, nil
		}
		return Found{}, err
	}
	defer f.leave(r)
	name := path
	if strings.HasSuffix(name, "/") {
		name = strings.TrimPrefix(name+Index, "/")
	} else if name == "" {
		name = "."
	}
	file, isFolder, err := r.find(name, last, memory)
	switch {
	case err != nil && !isNoFile(err):
		if r.isAbsent(name) { // this much can be told without a descriptor
			return Found{}, nil
		}
		return Found{}, fmt.Errorf("%s: %w", name, err)
	case err != nil:
		missing, names := r.missing(path)
		return Found{Missing: missing, Names: names}, nil
	case isFolder && !strings.HasSuffix(path, "/") && r.hasIndex(name):
		return Found{IsFolder: true}, nil
	}
	return Found{File: file}, nil
}

// isAbsent reports whether there certainly is no such file.
func (r *root) isAbsent(name string) bool {
	var status unix.Stat_t
	err := retry(func() error { return unix.Fstatat(r.fd, name, &status, unix.AT_SYMLINK_NOFOLLOW) })
	return err == unix.ENOENT || err == unix.ENOTDIR
}

func (r *root) hasIndex(name string) bool {
	fd, err := r.open(name+"/"+Index, unix.O_PATH)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var status unix.Stat_t
	return unix.Fstat(fd, &status) == nil && status.Mode&unix.S_IFMT == unix.S_IFREG
}

// missing finds the part of a path up to which nothing is there, and what is beside it.
func (r *root) missing(path string) (missing string, names Names) {
	for begun := 0; begun < len(path); {
		end := len(path)
		if slash := strings.IndexByte(path[begun:], '/'); slash >= 0 {
			end = begun + slash
		}
		if end == 0 {
			break
		}
		fd, err := r.open(path[:end], unix.O_PATH)
		switch {
		case err == unix.ENOENT && begun == 0:
			return path[:end], r.names(".")
		case err == unix.ENOENT:
			return path[:end], r.names(path[:begun-1])
		case err == unix.ENOTDIR:
			return path[:end], nil
		case err != nil:
			return "", nil
		}
		_ = unix.Close(fd)
		begun = end + 1
	}
	return "", nil
}

// names lists a folder, unless it is a large one.
func (r *root) names(folder string) Names {
	fd, err := r.open(folder, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil
	}
	file := os.NewFile(uintptr(fd), folder)
	defer file.Close()
	list, err := file.Readdirnames(namesMax + 1)
	if len(list) > namesMax || err != nil && err != io.EOF {
		return nil
	}
	names := make(Names, len(list))
	for _, name := range list {
		names[name] = struct{}{}
	}
	return names
}

// retry calls again what a signal has interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
