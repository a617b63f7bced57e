// Package snapshot holds V8 snapshots on disk: a file format whose header vouches for how the blob was
// built, and a store that writes files atomically and trusts none that it has not verified.
//
// A blob that another V8, other flags or another op table built does not fail cleanly when it is
// restored: V8 aborts, or calls another native function than the script meant. So everything that
// must agree is in the header, and a reader names the first thing that does not.
package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const magic = "NANOSNAP"

// formatVersion changes with the layout of the file:
//
//	magic (8) · format version (4) · key length (4) · payload length (8) · SHA-256 of key and payload (32) · key · payload
//
// Integers are little-endian; the key is a list of name and value pairs, each string with a
// four-byte length.
const (
	formatVersion = 1
	headerLength  = 8 + 4 + 4 + 8 + sha256.Size
)

// Key is what must agree between the builder of a snapshot and the process that restores it.
type Key struct {
	V8           string // version
	V8Tag        uint32 // V8's own hash of version, flags and CPU features
	Architecture string // GOARCH
	Flags        string // V8 flags set at start
	Ops          string // hash of the ordered op table
	Sources      string // hash of the boot scripts
	Sealed       bool   // the builder made a plain isolate first, so the read-only heap is V8's own
}

func (k Key) fields() [][2]string {
	return [][2]string{
		{"V8 version", k.V8},
		{"V8 version tag", fmt.Sprintf("%08x", k.V8Tag)},
		{"architecture", k.Architecture},
		{"V8 flags", k.Flags},
		{"op table", k.Ops},
		{"boot scripts", k.Sources},
		{"read-only heap", map[bool]string{true: "sealed", false: "unsealed"}[k.Sealed]},
	}
}

func (k Key) encode() []byte {
	var out []byte
	for _, field := range k.fields() {
		for _, text := range field {
			out = binary.LittleEndian.AppendUint32(out, uint32(len(text)))
			out = append(out, text...)
		}
	}
	return out
}

// Hash identifies the key, in hexadecimal: the name of its file in a Store.
func (k Key) Hash() string {
	sum := sha256.Sum256(k.encode())
	return fmt.Sprintf("%x", sum[:16])
}

// ErrDamaged is wrapped by errors about files that are not whole snapshot files.
var ErrDamaged = errors.New("damaged snapshot file")

// A MismatchError says that a whole snapshot file is of another builder.
type MismatchError struct{ What, Got, Want string }

// Error names what differs.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("snapshot was built with another %s: %q, not %q", e.What, e.Got, e.Want)
}

// Encode makes a snapshot file of a blob.
func Encode(key Key, payload []byte) []byte {
	encodedKey := key.encode()
	out := make([]byte, 0, headerLength+len(encodedKey)+len(payload))
	out = append(out, magic...)
	out = binary.LittleEndian.AppendUint32(out, formatVersion)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(encodedKey)))
	out = binary.LittleEndian.AppendUint64(out, uint64(len(payload)))
	sum := checksum(encodedKey, payload)
	out = append(out, sum[:]...)
	out = append(out, encodedKey...)
	return append(out, payload...)
}

func checksum(encodedKey, payload []byte) (sum [sha256.Size]byte) {
	hash := sha256.New()
	hash.Write(encodedKey)
	hash.Write(payload)
	hash.Sum(sum[:0])
	return sum
}

// Decode verifies a snapshot file and returns its blob, a view of file.
func Decode(file []byte, want Key) ([]byte, error) {
	if len(file) < headerLength || string(file[:8]) != magic {
		return nil, fmt.Errorf("%w: no snapshot header", ErrDamaged)
	}
	if version := binary.LittleEndian.Uint32(file[8:]); version != formatVersion {
		return nil, &MismatchError{"file format", fmt.Sprint(version), fmt.Sprint(formatVersion)}
	}
	keyLength, payloadLength := binary.LittleEndian.Uint32(file[12:]), binary.LittleEndian.Uint64(file[16:])
	rest := file[headerLength:]
	if uint64(keyLength) > uint64(len(rest)) || payloadLength != uint64(len(rest))-uint64(keyLength) {
		return nil, fmt.Errorf("%w: %d bytes, header says %d", ErrDamaged, len(file), headerLength+uint64(keyLength)+payloadLength)
	}
	encodedKey, payload := rest[:keyLength], rest[keyLength:]
	if sum := checksum(encodedKey, payload); !bytes.Equal(sum[:], file[24:headerLength]) {
		return nil, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	if err := compareKey(encodedKey, want); err != nil {
		return nil, err
	}
	return payload, nil
}

func compareKey(encodedKey []byte, want Key) error {
	got := map[string]string{}
	for len(encodedKey) > 0 {
		var pair [2]string
		for i := range pair {
			if len(encodedKey) < 4 || uint64(binary.LittleEndian.Uint32(encodedKey)) > uint64(len(encodedKey)-4) {
				return fmt.Errorf("%w: malformed key", ErrDamaged)
			}
			length := binary.LittleEndian.Uint32(encodedKey)
			pair[i] = string(encodedKey[4 : 4+length])
			encodedKey = encodedKey[4+length:]
		}
		got[pair[0]] = pair[1]
	}
	for _, field := range want.fields() {
		if got[field[0]] != field[1] {
			return &MismatchError{field[0], got[field[0]], field[1]}
		}
	}
	return nil
}

// Store is a folder of snapshot files, named by the hash of their key.
type Store struct{ Folder string }

func (s Store) path(key Key) string { return filepath.Join(s.Folder, key.Hash()+".snapshot") }

// Load returns the blob of key. fs.ErrNotExist: there is none. Any other error: the file is not to
// be used; build the snapshot again and Save it.
func (s Store) Load(key Key) ([]byte, error) {
	file, err := os.ReadFile(s.path(key))
	if err != nil {
		return nil, err
	}
	return Decode(file, key)
}

// Save writes a blob so that a reader sees the whole file or none, also after a crash.
func (s Store) Save(key Key, payload []byte) error {
	if err := os.MkdirAll(s.Folder, 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(s.Folder, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails once renamed
	_, err = file.Write(Encode(key, payload))
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), s.path(key))
}

// LoadOrBuild returns the blob of key, building and saving it when there is no usable file. note is
// what an operator may want to know: why a file was rejected, or why the new one was not saved.
func (s Store) LoadOrBuild(key Key, build func() ([]byte, error)) (payload []byte, note error, err error) {
	payload, loadErr := s.Load(key)
	if loadErr == nil {
		return payload, nil, nil
	}
	if !errors.Is(loadErr, fs.ErrNotExist) {
		note = fmt.Errorf("%s: %w", s.path(key), loadErr)
	}
	payload, err = build()
	if err != nil {
		return nil, note, err
	}
	if saveErr := s.Save(key, payload); saveErr != nil {
		note = errors.Join(note, saveErr)
	}
	return payload, note, nil
}
