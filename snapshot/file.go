package snapshot

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// File is an open snapshot file: whole and undamaged, but maybe of another builder, which Check
// tells. Its methods may be called from any goroutine, Close once and last.
type File struct {
	data     []byte // the file
	isMapped bool
	content  content
}

// Open maps a file for reading and verifies it. A *FormatError: it is not a snapshot file, or a
// damaged one.
//
// The checksum is computed at each call, except when this process has found the same file right
// before: the same inode with the same size and times.
func Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the mapping stays
	opened, err := OpenFile(file)
	var format *FormatError
	if errors.As(err, &format) {
		format.Path = path
	}
	return opened, err
}

// InMemory makes a file without a name, in memory that can be mapped: what Decode gives may not be
// handed to C.
func InMemory(data []byte) (*os.File, error) {
	descriptor, err := unix.MemfdCreate("nano-snapshot", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(descriptor), "memory")
	if _, err := file.Write(data); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// OpenFile is Open for a file that is open already; it may be closed afterwards.
func OpenFile(file *os.File) (*File, error) {
	now := time.Now()
	identity, err := identify(file)
	if err != nil {
		return nil, err
	}
	if identity.size < headerLength || identity.size > math.MaxInt32 {
		return nil, malformed("not a snapshot file")
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(identity.size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: file.Name(), Err: err}
	}
	f := &File{data: data, isMapped: true}
	f.content, err = decode(data)
	if err == nil && !verified.has(identity) {
		if err = verify(data); err == nil {
			verified.add(identity, now)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Decode is Open for a file in memory, which must not change as long as the File is used.
func Decode(data []byte) (*File, error) {
	read, err := decode(data)
	if err == nil {
		err = verify(data)
	}
	if err != nil {
		return nil, err
	}
	return &File{data: data, content: read}, nil
}

// Key is what the file was built with, as far as this version knows the properties that it names.
func (f *File) Key() Key { return keyOf(f.content.pairs) }

// Check gives a *MismatchError, of the first difference, when the file was not built with want.
func (f *File) Check(want Key) error { return compare(f.content.pairs, want.pairs()) }

// Sections are all sections, in views that are valid until Close.
func (f *File) Sections() []Section { return f.content.sections }

// Section is a view of a section, valid until Close; nil if there is none of that name. It must not
// be written to.
func (f *File) Section(name string) []byte {
	for _, section := range f.content.sections {
		if section.Name == name {
			return section.Data
		}
	}
	return nil
}

// Size is the length of the file in bytes.
func (f *File) Size() int64 { return int64(len(f.data)) }

// Release gives the file's resident pages back to the system. They are read again when touched: from
// the system's cache, as long as it has them.
func (f *File) Release() {
	if f.isMapped {
		// Advice: nothing is lost when the system does not take it.
		_ = unix.Madvise(f.data, unix.MADV_DONTNEED)
	}
}

// Close ends the mapping. Views of sections must not be used any more.
func (f *File) Close() error {
	data, isMapped := f.data, f.isMapped
	f.data, f.content = nil, content{}
	if !isMapped {
		return nil
	}
	if err := unix.Munmap(data); err != nil {
		return fmt.Errorf("munmap: %w", err)
	}
	return nil
}

// identity is what changes when a file is replaced or written to.
type identity struct {
	inode
	size            int64
	modified        unix.Timespec
	metadataChanged unix.Timespec
}

type inode struct{ device, number uint64 }

func identify(file *os.File) (identity, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return identity{}, &os.PathError{Op: "stat", Path: file.Name(), Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return identity{}, malformed("not a snapshot file")
	}
	return identity{inode{uint64(stat.Dev), stat.Ino}, stat.Size, stat.Mtim, stat.Ctim}, nil
}

// verifiedMax bounds how many files are remembered: more than a node has images, as those come and go for as long
// as it runs. What is forgotten is verified again.
const verifiedMax = 1 << 15

// verifiedFiles are the files whose checksum was right: one entry for each inode.
type verifiedFiles struct {
	mutex sync.Mutex
	files map[inode]identity
}

var verified = verifiedFiles{files: map[inode]identity{}}

// timeGranularity is the coarsest step of file times: a file that was written to within the same
// step looks unchanged. Like git, we do not rely on times that young.
var timeGranularity = 20 * time.Millisecond

func (v *verifiedFiles) has(file identity) bool {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	return v.files[file.inode] == file
}

// add notes a file whose identity was read at the time now, and verified later.
func (v *verifiedFiles) add(file identity, now time.Time) {
	if now.Sub(time.Unix(file.metadataChanged.Unix())) < timeGranularity {
		return
	}
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if _, isKnown := v.files[file.inode]; !isKnown && len(v.files) >= verifiedMax {
		for any := range v.files {
			delete(v.files, any)
			break
		}
	}
	v.files[file.inode] = file
}
