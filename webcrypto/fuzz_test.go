package webcrypto

import (
	"bytes"
	"errors"
	"testing"

	"nano/hostcall"
)

// FuzzImport reads keys in every format. What is read can be written and read again, and is the same key; what is
// not gives an error with a name.
func FuzzImport(f *testing.F) {
	for _, params := range everyParams {
		if params.Algorithm.isRSA() {
			params.Length = 1024
		}
		key, public := generated(f, params)
		for _, key := range []*Key{key, public} {
			for format := Raw; format <= JWK; format++ {
				if key == nil {
					continue
				}
				if written, err := Export(format, key); err == nil {
					f.Add(written, uint8(format), uint8(params.Algorithm), uint8(params.Hash), uint8(params.Curve), uint8(key.Usages))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, format, algorithm, hash, curve, usages uint8) {
		params := Params{
			Algorithm: Algorithm(algorithm) % algorithmCount, Hash: Hash(hash) % (SHA512 + 1), Curve: Curve(curve), Length: NoLength,
		}
		key, err := Import(Format(format%4), params, data, true, Usages(usages), false)
		if err != nil {
			var failure *hostcall.Error
			if !errors.As(err, &failure) || failure.Name == "" {
				t.Fatalf("no name: %v", err)
			}
			return
		}
		written, err := Export(Format(format%4), key)
		if params.Algorithm == HKDF || params.Algorithm == PBKDF2 {
			wantError(t, err, "NotSupportedError")
			return
		}
		wantError(t, err, "")
		again := imported(t, Format(format%4), key.Params, written, key.Usages)
		if twice, err := Export(Format(format%4), again); err != nil || !bytes.Equal(twice, written) {
			t.Fatalf("written as %x, then as %x, %v", written, twice, err)
		}
	})
}
