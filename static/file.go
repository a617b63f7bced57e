package static

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Coding is the content coding of a representation (RFC 9110 §8.4.1).
type Coding uint8

// The codings in which a file may lie beside itself, those that are preferred first.
const (
	Brotli Coding = iota
	Zstandard
	Gzip
	Identity // the file itself

	codings = iota
)

var (
	codingNames = [codings]string{"br", "zstd", "gzip", ""}
	endings     = [codings]string{".br", ".zst", ".gz", ""}
)

// String is the name of the coding in HTTP, "" for the identity.
func (c Coding) String() string { return codingNames[c] }

// InMemoryMax is the largest file that is read into memory when it is found, in bytes. Larger ones are kept open, until
// they are looked for again.
const InMemoryMax = 1 << 20

// A File is one state of a file and of its precompressed siblings (name.br, name.zst, name.gz). It does not
// change.
type File struct {
	// Variants are the representations, by Coding. That of Identity is there, others may be nil.
	Variants [codings]*Variant
	// The header lines of answers with each of them: all that are the same in every answer with a body, and in
	// one with status 304 (RFC 9110 §15.4.5).
	lines, linesUnmodified [codings][]byte
}

// A Variant is the content of one file as it was at one time.
type Variant struct {
	Size         int64
	ETag         string // strong, with its quotes
	Modified     int64  // seconds since 1970
	lastModified string // the same as a date
	// Content is all of a file that is in memory: of one of up to InMemoryMax bytes, or one that was looked for
	// again. It must not be changed.
	Content []byte

	open  *OpenFile // of a larger one; the variant is one of its users
	mark  mark
	isNew bool // it was changed so shortly before it was read that it may change again with the same mark
}

// A mark tells one state of a file from another.
type mark struct {
	dev, inode      uint64
	size            int64
	modified, other int64 // nanoseconds since 1970: of the content, and of anything about it
}

// newTime is for how long after a change another one may leave the same times: the kernel's clock for
// files may tick only every 10 ms.
const newTime = int64(20 * time.Millisecond)

func markOf(s *unix.Stat_t) mark {
	return mark{s.Dev, s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano()}
}

// An OpenFile is the descriptor of a large file, which is closed after the last of its users.
type OpenFile struct {
	fd    int
	mark  mark
	users atomic.Int32
}

// Use gives the descriptor of a variant that is not in memory, to be left by Leave. nil: the variant has been
// given up since it was found.
func (v *Variant) Use() *OpenFile {
	for {
		users := v.open.users.Load()
		if users == 0 {
			return nil
		}
		if v.open.users.CompareAndSwap(users, users+1) {
			return v.open
		}
	}
}

// FD is the descriptor.
func (o *OpenFile) FD() int { return o.fd }

// IsChanged reports whether the file is not any more what it was when it was found. It does not block.
func (o *OpenFile) IsChanged() bool {
	var status unix.Stat_t
	if unix.Fstat(o.fd, &status) != nil {
		return true
	}
	now := markOf(&status)
	now.other = o.mark.other // that it was renamed or deleted does not matter to who reads it
	return now != o.mark
}

// Leave ends a use.
func (o *OpenFile) Leave() {
	if o.users.Add(-1) == 0 {
		_ = unix.Close(o.fd) // it was only read
	}
}

// Memory is about what the file takes, in bytes.
func (f *File) Memory() int64 {
	const overhead = 1 << 10
	memory := int64(overhead)
	for _, v := range f.Variants {
		if v != nil {
			memory += int64(cap(v.Content)) + overhead
		}
	}
	return memory
}

// Descriptors is how many files it keeps open.
func (f *File) Descriptors() (n int) {
	for _, v := range f.Variants {
		if v != nil && v.open != nil {
			n++
		}
	}
	return n
}

// GiveUp ends the use of what f keeps open, but for what next keeps as well; next may be nil. f may still be
// answered with from memory.
func (f *File) GiveUp(next *File) {
	for i, v := range f.Variants {
		if v != nil && v.open != nil && (next == nil || next.Variants[i] != v) {
			v.open.Leave()
		}
	}
}

// errWritten says that a file could not be read in one state.
var errWritten = errors.New("the file is being written")

// IsTransient reports whether an error of Find may be gone with the next attempt.
func IsTransient(err error) bool { return errors.Is(err, errWritten) }

// find gives the file at a name below the root. isFolder: it is a folder. Without a file and an error, there
// is something that is not served.
func (r *root) find(name string, last *File, memory int64) (file *File, isFolder bool, err error) {
	f := &File{}
	var status unix.Stat_t
	f.Variants[Identity], err = r.variant(name, last.variant(Identity), memory, &status)
	if err != nil || f.Variants[Identity] == nil {
		return nil, status.Mode&unix.S_IFMT == unix.S_IFDIR, err
	}
	isSame := last.variant(Identity) == f.Variants[Identity]
	for coding := range Identity {
		v, err := r.variant(name+endings[coding], last.variant(coding), memory, &status)
		if err != nil && !isNoFile(err) && !IsTransient(err) {
			f.dropExcept(last)
			return nil, false, err
		}
		if v != nil && v.Modified < f.Variants[Identity].Modified {
			// It was made of an earlier state.
			if v.open != nil && v != last.variant(coding) {
				v.open.Leave()
			}
			v = nil
		}
		f.Variants[coding] = v
		isSame = isSame && last.variant(coding) == v
	}
	if isSame {
		return last, false, nil
	}
	f.format(typeOf(name))
	return f, false, nil
}

// dropExcept gives up what f does not have from last.
func (f *File) dropExcept(last *File) {
	if f.Variants[Identity] != nil {
		f.GiveUp(last)
	}
}

func (f *File) variant(c Coding) *Variant {
	if f == nil {
		return nil
	}
	return f.Variants[c]
}

// variantTries bounds how often a file is read that changes meanwhile.
const variantTries = 3

// variant gives the state of the file at a name: last, if that is still the same. nil without an error: it is
// not a regular file; status tells what it is.
func (r *root) variant(name string, last *Variant, memory int64, status *unix.Stat_t) (*Variant, error) {
	for range variantTries {
		fd, err := r.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
		if err != nil {
			return nil, err
		}
		v, err := variantOf(fd, last, memory, status)
		if v == nil || v.open == nil || v == last {
			_ = unix.Close(fd)
		}
		if !IsTransient(err) {
			return v, err
		}
	}
	return nil, errWritten
}

// variantOf is variant for a file that is open. If the result is a new one that has an OpenFile, it has taken
// fd over.
func variantOf(fd int, last *Variant, memory int64, status *unix.Stat_t) (*Variant, error) {
	if err := unix.Fstat(fd, status); err != nil {
		return nil, err
	}
	if status.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, nil
	}
	m := markOf(status)
	if last != nil && last.mark == m && !last.isNew {
		return last.again(fd, memory), nil
	}
	modified := time.Unix(0, m.modified).UTC()
	v := &Variant{Size: m.size, Modified: modified.Unix(), mark: m,
		lastModified: modified.Format("Mon, 02 Jan 2006 15:04:05 GMT")}
	if m.size > InMemoryMax {
		v.open = &OpenFile{fd: fd, mark: m}
		v.open.users.Store(1)
		v.ETag = fmt.Sprintf(`"%x-%x"`, m.size, m.modified)
		return v, nil
	}
	if err := v.load(fd); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(v.Content)
	v.ETag = `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return v, nil
}

// again gives v, which is looked for again, or the same in memory, if that is at most so many bytes. Its tag stays
// that of a large file.
func (v *Variant) again(fd int, memory int64) *Variant {
	if v.open == nil || v.Size > memory {
		return v
	}
	loaded := &Variant{Size: v.Size, ETag: v.ETag, Modified: v.Modified, lastModified: v.lastModified, mark: v.mark}
	if loaded.load(fd) != nil {
		return v // the next look tells what has become of it
	}
	return loaded
}

// load reads the content of a file, all of it from one state.
func (v *Variant) load(fd int) error {
	v.Content = make([]byte, v.Size)
	for done := 0; done < len(v.Content); {
		n, err := unix.Pread(fd, v.Content[done:], int64(done))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return errWritten
		default:
			done += n
		}
	}
	var status unix.Stat_t
	if err := unix.Fstat(fd, &status); err != nil {
		return err
	}
	now := markOf(&status)
	if status.Nlink == 0 {
		now.other = v.mark.other // what another file has just taken the name of is still one whole state
	}
	if now != v.mark {
		return errWritten
	}
	v.isNew = time.Now().UnixNano()-max(v.mark.modified, v.mark.other) < newTime
	return nil
}

// cacheControl lets a browser keep what it has, but ask each time whether that is still the newest.
const cacheControl = "cache-control: public, max-age=0, must-revalidate\r\n"

// format makes the header lines.
func (f *File) format(contentType string) {
	vary := ""
	for coding := range Identity {
		if f.Variants[coding] != nil {
			vary = "vary: accept-encoding\r\n"
		}
	}
	for i, v := range f.Variants {
		if v == nil {
			continue
		}
		always := cacheControl + vary + "etag: " + v.ETag + "\r\nlast-modified: " + v.lastModified + "\r\n"
		encoding := ""
		if coding := Coding(i); coding != Identity {
			encoding = "content-encoding: " + coding.String() + "\r\n"
		}
		f.linesUnmodified[i] = []byte(always)
		f.lines[i] = []byte("content-type: " + contentType + "\r\n" + encoding + always + "accept-ranges: bytes\r\n")
	}
}

// appendContentRange appends the field of an answer with a part of size bytes, or of none of them.
func appendContentRange(dst []byte, start, end, size int64) []byte {
	dst = append(dst, "content-range: bytes "...)
	if start < end {
		dst = strconv.AppendInt(dst, start, 10)
		dst = append(dst, '-')
		dst = strconv.AppendInt(dst, end-1, 10)
	} else {
		dst = append(dst, '*')
	}
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, size, 10)
	return append(dst, "\r\n"...)
}
