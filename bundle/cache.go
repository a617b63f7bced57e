package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nano/isolates"
)

// Cache keeps bundles in files. One is used as long as everything that it was made of is as it was then.
// Several processes may share a folder.
type Cache struct {
	Folder string // made when it is needed
}

// cacheVersion changes with what Build makes of the same inputs: set it anew with a new esbuild too.
const cacheVersion = "3 esbuild 0.28.2"

const (
	cacheExtension = ".bundle"
	cacheMagic     = "NANOBCH1"
	// cacheHeaderMax bounds the description of a cached bundle, in bytes.
	cacheHeaderMax = 64 << 20
	// settled is how old a change must be for later ones to be seen: clocks of file systems tick slowly.
	settled = 20 * time.Millisecond
)

// cached is the description of a cached bundle.
type cached struct {
	Inputs   []input      `json:"inputs"`
	Warnings []Diagnostic `json:"warnings,omitempty"`
}

// input is an input of a bundle as it was.
type input struct {
	Path     string `json:"path"`
	Kind     string `json:"kind,omitempty"` // "" a file, "folder", or "none": there is nothing
	Size     int64  `json:"size,omitempty"`
	Modified int64  `json:"modified,omitempty"` // in nanoseconds, as Changed
	Changed  int64  `json:"changed,omitempty"`
	Inode    uint64 `json:"inode,omitempty"`
	Hash     string `json:"hash,omitempty"` // of the content, or of the names in the folder
}

const (
	kindFolder = "folder"
	kindNone   = "none"
)

// look describes what is at a path, without its hash.
func look(path string) (input, error) {
	var status unix.Stat_t
	if err := unix.Stat(path, &status); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return input{Path: path, Kind: kindNone}, nil
	} else if err != nil {
		return input{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	found := input{Path: path, Size: status.Size, Modified: status.Mtim.Nano(), Changed: status.Ctim.Nano(), Inode: status.Ino}
	if status.Mode&unix.S_IFMT == unix.S_IFDIR {
		found.Kind, found.Size = kindFolder, 0
	}
	return found, nil
}

// hash sets the hash.
func (i *input) hash() error {
	sum := sha256.New()
	switch i.Kind {
	case kindNone:
		return nil
	case kindFolder:
		entries, err := os.ReadDir(i.Path)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if isRelevant(entry) {
				fmt.Fprintf(sum, "%s\x00%t\x00", entry.Name(), entry.IsDir())
			}
		}
	default:
		file, err := os.Open(i.Path)
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err := io.Copy(sum, file); err != nil {
			return err
		}
	}
	i.Hash = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// isRelevant tells whether an import could mean an entry of a folder.
func isRelevant(entry fs.DirEntry) bool {
	if entry.IsDir() || entry.Type()&fs.ModeSymlink != 0 {
		return !strings.HasPrefix(entry.Name(), ".")
	}
	return slices.Contains(resolved, filepath.Ext(entry.Name()))
}

// resolved are the extensions that an import may leave away, or that esbuild tries for another.
var resolved = []string{".tsx", ".ts", ".jsx", ".js", ".mts", ".cts", ".mjs", ".cjs", ".css", ".json"}

// path is the file of a bundle.
func (c Cache) path(o Options) string {
	key, err := json.Marshal(o)
	if err != nil {
		panic(err) // there is nothing in it that JSON cannot hold
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00%s\x00%s", cacheVersion, jsxRuntime, key)
	return filepath.Join(c.Folder, hex.EncodeToString(sum.Sum(nil))+cacheExtension)
}

// Load gives a bundle that was made with the same options, if all its inputs are as they were. nil: make it.
func (c Cache) Load(o Options) *Result {
	if c.Folder == "" {
		return nil
	}
	path := c.path(o)
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	result, inputs, err := decodeResult(content)
	if err != nil {
		return nil
	}
	for _, was := range inputs {
		if !was.isUnchanged() {
			return nil
		}
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // should it fail, it is made again after it was swept
	return result
}

// isUnchanged tells whether what an input was made of is still there.
func (i *input) isUnchanged() bool {
	now, err := look(i.Path)
	if err != nil || now.Kind != i.Kind {
		return false
	}
	if now.Size == i.Size && now.Modified == i.Modified && now.Changed == i.Changed && now.Inode == i.Inode {
		return true
	}
	// It was written anew, or copied: what counts is in it.
	return now.Size == i.Size && now.hash() == nil && now.Hash == i.Hash
}

// Save keeps a bundle whose making began at a time. What has changed since, or just before, is not kept:
// who knows which of it was read.
func (c Cache) Save(o Options, result *Result, began time.Time) error {
	if c.Folder == "" {
		return nil
	}
	content, err := encodeResult(result, began)
	if err != nil || content == nil {
		return err
	}
	return c.write(c.path(o), content)
}

func (c Cache) write(path string, content []byte) (err error) {
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(c.Folder, ".new-*"+cacheExtension)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path) // what a crash leaves half written, its checksum tells
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}

// Sweep removes what nobody has used for an age. It returns how many files there were.
func (c Cache) Sweep(age time.Duration) (removed int, err error) {
	if c.Folder == "" {
		return 0, nil
	}
	entries, err := os.ReadDir(c.Folder)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return 0, err
	}
	for _, entry := range entries {
		info, statErr := entry.Info()
		if statErr != nil || !info.Mode().IsRegular() || filepath.Ext(entry.Name()) != cacheExtension || time.Since(info.ModTime()) < age {
			continue
		}
		if removeErr := os.Remove(filepath.Join(c.Folder, entry.Name())); removeErr == nil {
			removed++
		} else if !errors.Is(removeErr, fs.ErrNotExist) {
			err = removeErr
		}
	}
	return removed, err
}

// encodeResult writes a result: magic (8) · checksum of the rest (4) · length of the description (4) ·
// description, JSON · bundle. nil: an input has changed since `began`, or just before.
func encodeResult(result *Result, began time.Time) ([]byte, error) {
	described := cached{Warnings: result.Warnings}
	for _, path := range result.Inputs {
		found, err := look(path)
		if err == nil {
			err = found.hash()
		}
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if changed := time.Unix(0, max(found.Modified, found.Changed)); changed.After(began.Add(-settled)) && changed.Before(now) {
			return nil, nil
		}
		described.Inputs = append(described.Inputs, found)
	}
	return appendResult(described, result.Bundle)
}

func appendResult(described cached, bundle *isolates.Bundle) ([]byte, error) {
	text, err := json.Marshal(described)
	if err != nil {
		return nil, err
	}
	out := append([]byte(cacheMagic), 0, 0, 0, 0)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(text)))
	out = append(append(out, text...), bundle.Encode()...)
	binary.LittleEndian.PutUint32(out[len(cacheMagic):], crc32.Checksum(out[len(cacheMagic)+4:], castagnoli()))
	return out, nil
}

var castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })

var errCached = errors.New("malformed cached bundle")

// decodeResult reads what appendResult wrote.
func decodeResult(content []byte) (*Result, []input, error) {
	rest, ok := bytes.CutPrefix(content, []byte(cacheMagic))
	if !ok || len(rest) < 8 || crc32.Checksum(rest[4:], castagnoli()) != binary.LittleEndian.Uint32(rest) {
		return nil, nil, errCached
	}
	length := int64(binary.LittleEndian.Uint32(rest[4:]))
	rest = rest[8:]
	if length > cacheHeaderMax || length > int64(len(rest)) {
		return nil, nil, errCached
	}
	var described cached
	if err := json.Unmarshal(rest[:length], &described); err != nil {
		return nil, nil, errCached
	}
	bundle, err := isolates.DecodeBundle(rest[length:])
	if err != nil {
		return nil, nil, err
	}
	result := &Result{Bundle: bundle, Warnings: described.Warnings}
	for i := range described.Inputs {
		result.Inputs = append(result.Inputs, described.Inputs[i].Path)
	}
	return result, described.Inputs, nil
}

// Encode writes a result without what its inputs are, for another process.
func (r *Result) Encode() ([]byte, error) {
	described := cached{Warnings: r.Warnings}
	for _, path := range r.Inputs {
		described.Inputs = append(described.Inputs, input{Path: path})
	}
	return appendResult(described, r.Bundle)
}

// DecodeResult reads what Encode wrote.
func DecodeResult(content []byte) (*Result, error) {
	result, _, err := decodeResult(content)
	return result, err
}
