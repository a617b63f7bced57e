// Package snapshot holds V8 snapshots on disk: one file format for the runtime snapshot, the images
// of apps and what `nano build` writes, and a store that writes files atomically and trusts none
// that it has not verified.
//
// A blob that another V8, other flags or another op table built does not fail cleanly when it is
// restored: V8 aborts, or calls another native function than the script meant. So everything that
// must agree is in the file's Key, and a reader names the first thing that does not.
//
// Files are mapped into memory, so a file that is in use must never be changed in place: reading a
// page that was cut off ends the process (SIGBUS). This package only ever replaces files by
// renaming new ones over them, which leaves what is mapped as it was. Whoever else changes files
// of a Store must do the same, or delete them.
package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
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
	Form         string // of V8's snapshots, where it is not V8's own
	App          string // hash of an app's bundle and warm-up path; "": the runtime alone
}

// pair is one property of a key, as files hold it.
type pair struct{ name, value string }

// pairs are the properties in the order in which they are compared and written. A name that changes
// or comes new makes the files of older versions mismatches, which are rebuilt.
func (k Key) pairs() []pair {
	return []pair{
		{"V8 version", k.V8},
		{"V8 version tag", fmt.Sprintf("%08x", k.V8Tag)},
		{"architecture", k.Architecture},
		{"V8 flags", k.Flags},
		{"op table", k.Ops},
		{"boot scripts", k.Sources},
		{"read-only heap", map[bool]string{true: "sealed", false: "unsealed"}[k.Sealed]},
		{"form", k.Form},
		{"app", k.App},
	}
}

// keyOf is the inverse of pairs, for what of the properties this version knows.
func keyOf(pairs []pair) Key {
	values := map[string]string{}
	for _, p := range pairs {
		values[p.name] = p.value
	}
	k := Key{
		V8:           values["V8 version"],
		Architecture: values["architecture"],
		Flags:        values["V8 flags"],
		Ops:          values["op table"],
		Sources:      values["boot scripts"],
		Sealed:       values["read-only heap"] == "sealed",
		Form:         values["form"],
		App:          values["app"],
	}
	fmt.Sscanf(values["V8 version tag"], "%x", &k.V8Tag) // 0 when it is none
	return k
}

// Hash identifies the key, in 32 hexadecimal digits: the name of its file in a Store.
func (k Key) Hash() string {
	sum := sha256.Sum256(appendPairs(nil, k.pairs()))
	return fmt.Sprintf("%x", sum[:16])
}

// A MismatchError says that a whole snapshot file is of another builder, or of another app.
type MismatchError struct{ What, Got, Want string }

// Error names what differs.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("snapshot was built with another %s: %q, not %q", e.What, e.Got, e.Want)
}

// compare gives a MismatchError for the first difference.
func compare(got, want []pair) error {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return &MismatchError{want[i].name, "", want[i].value}
		case i >= len(want) || got[i].name != want[i].name:
			return &MismatchError{got[i].name, got[i].value, ""}
		case got[i] != want[i]:
			return &MismatchError{want[i].name, got[i].value, want[i].value}
		}
	}
	return nil
}

// appendPairs writes each string after its four-byte length.
func appendPairs(out []byte, pairs []pair) []byte {
	for _, p := range pairs {
		for _, text := range []string{p.name, p.value} {
			out = binary.LittleEndian.AppendUint32(out, uint32(len(text)))
			out = append(out, text...)
		}
	}
	return out
}
