package webcrypto

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"nano/hostcall"
)

// never is a Job that goes on, always one that is cancelled.
type (
	never  struct{}
	always struct{}
)

func (never) Cancelled() bool  { return false }
func (always) Cancelled() bool { return true }

// unhex reads hexadecimal digits; white space between them is skipped.
func unhex(t testing.TB, digits string) []byte {
	t.Helper()
	decoded, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

// wantError checks the name of an error; "" stands for none.
func wantError(t testing.TB, err error, name string) {
	t.Helper()
	var failure *hostcall.Error
	switch {
	case name == "" && err != nil:
		t.Fatalf("got error %v", err)
	case name != "" && (!errors.As(err, &failure) || failure.Name != name):
		t.Fatalf("got error %v, want %s", err, name)
	}
}

// imported imports a key that must be good.
func imported(t testing.TB, format Format, params Params, data []byte, usages Usages) *Key {
	t.Helper()
	key, err := Import(format, params, data, true, usages, false)
	wantError(t, err, "")
	return key
}

// generated makes keys with all usages; the second is nil, or the public one.
func generated(t testing.TB, params Params) (key, public *Key) {
	t.Helper()
	algorithm := params.Algorithm
	usages := algorithm.privateUsages() | algorithm.publicUsages() | algorithm.secretUsages()
	key, public, err := Generate(never{}, params, []byte{1, 0, 1}, true, usages, false)
	wantError(t, err, "")
	return key, public
}

// output is what an operation returned.
func output(t testing.TB, operation func(out Sink) error) []byte {
	t.Helper()
	var sink bytesSink
	wantError(t, operation(&sink), "")
	return sink.bytes
}
