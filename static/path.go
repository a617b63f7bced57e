// Package static finds the files that answer requests: which file of a folder a path means, in which
// representation (content coding, range), under which conditions, and with what header fields. It
// reads small files into memory and keeps large ones open. It knows neither connections nor loops;
// whatever touches the disk may block, and is for ordinary goroutines.
//
// Only what lies in the folder is served. Paths are decoded once and then handed to openat2(2) with
// RESOLVE_BENEATH, so that no dot-dot, symbolic link or race leads out of it; symbolic links within it
// are followed. Names that begin with a dot are not served (.git, .env), but for /.well-known/ (RFC 8615).
package static

import "bytes"

// pathMax bounds a path, in bytes: what the kernel takes (PATH_MAX), less what is appended to it.
const pathMax = 4096 - 32

// AppendPath appends the path below the folder that the path of a request target means, to dst: without
// the slash at its start, percent-encoding removed. It ends in a slash if target does, so "/" is the
// folder itself in the form of a folder, and "" without. target holds no query.
//
// Not ok: no file can have that path. That is so for what is not written the plain way, too, such as dot
// segments, empty ones, backslashes and encoded slashes: a router before us, or the app, may read them
// differently.
func AppendPath(dst, target []byte) (path []byte, ok bool) {
	if len(target) == 0 {
		return dst, true
	}
	if target[0] != '/' || len(target) > 3*pathMax {
		return dst, false
	}
	begun := len(dst)
	segment := begun // where the current one begins
	for i := 1; i < len(target); i++ {
		c := target[i]
		if c == '/' {
			if !isServed(dst[segment:], segment == begun) {
				return dst, false
			}
			dst = append(dst, '/')
			segment = len(dst)
			continue
		}
		if c == '%' {
			if i+2 >= len(target) {
				return dst, false
			}
			high, low := hexDigit(target[i+1]), hexDigit(target[i+2])
			if high > 15 || low > 15 {
				return dst, false
			}
			c = high<<4 | low
			i += 2
		}
		if c < ' ' || c == 0x7f || c == '\\' || c == '/' {
			return dst, false
		}
		dst = append(dst, c)
	}
	switch {
	case segment == len(dst) && segment == begun: // "/"
		dst = append(dst, '/')
	case segment == len(dst): // a folder
	case !isServed(dst[segment:], segment == begun):
		return dst, false
	}
	return dst, len(dst)-begun <= pathMax
}

// nameMax is the longest name of a file, in bytes (NAME_MAX).
const nameMax = 255

// isServed reports whether a segment may be part of a path.
func isServed(segment []byte, isFirst bool) bool {
	if len(segment) == 0 || len(segment) > nameMax {
		return false
	}
	return segment[0] != '.' || isFirst && string(segment) == ".well-known"
}

func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff
}

// AppendLocation appends where the folder that a request target names is to be asked for in its form with
// a slash: a relative reference (RFC 3986 §4.2), which is right whatever the folder lies below, with the
// query of target.
func AppendLocation(dst, target []byte) []byte {
	path, query, hasQuery := bytes.Cut(target, []byte{'?'})
	dst = append(dst, "./"...) // else a colon in the name would end a scheme
	dst = append(dst, path[bytes.LastIndexByte(path, '/')+1:]...)
	dst = append(dst, '/')
	if hasQuery {
		dst = append(append(dst, '?'), query...)
	}
	return dst
}
