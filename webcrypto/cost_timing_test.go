package webcrypto

import (
	"testing"
)

// BenchmarkOperations times what cost.go is about.
func BenchmarkOperations(b *testing.B) {
	data := make([]byte, 64)
	sign := func(name string, params Params, with SignParams, exponent []byte) {
		usages := params.Algorithm.privateUsages() | params.Algorithm.publicUsages() | params.Algorithm.secretUsages()
		b.Run(name+"/generate", func(b *testing.B) {
			for b.Loop() {
				if _, _, err := Generate(never{}, params, exponent, true, usages, false); err != nil {
					b.Fatal(err)
				}
			}
		})
		private, public, err := Generate(never{}, params, exponent, true, usages, false)
		if err != nil {
			b.Fatal(err)
		}
		if public == nil {
			public = private
		}
		if private.Kind == Private {
			for format, key := range map[Format]*Key{PKCS8: private, SPKI: public} {
				encoded, err := Export(format, key)
				if err != nil {
					b.Fatal(err)
				}
				b.Run(name+"/import/"+key.Kind.String(), func(b *testing.B) {
					for b.Loop() {
						if _, err := Import(format, params, encoded, true, key.Usages, false); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
		if !private.Usages.contains(UsageSign) {
			return
		}
		var sink bytesSink
		b.Run(name+"/sign", func(b *testing.B) {
			for b.Loop() {
				if err := private.Sign(with, data, false, &sink); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/verify", func(b *testing.B) {
			for b.Loop() {
				if good, err := public.Verify(with, sink.bytes, data, false); err != nil || !good {
					b.Fatal(good, err)
				}
			}
		})
	}
	f4 := []byte{1, 0, 1}
	sign("HMAC", Params{Algorithm: HMAC, Hash: SHA256, Length: NoLength}, SignParams{}, nil)
	sign("P-256", Params{Algorithm: ECDSA, Curve: P256}, SignParams{Hash: SHA256}, nil)
	sign("P-384", Params{Algorithm: ECDSA, Curve: P384}, SignParams{Hash: SHA384}, nil)
	sign("P-521", Params{Algorithm: ECDSA, Curve: P521}, SignParams{Hash: SHA512}, nil)
	sign("Ed25519", Params{Algorithm: Ed25519}, SignParams{}, nil)
	sign("Ed448", Params{Algorithm: Ed448}, SignParams{}, nil)
	sign("X25519", Params{Algorithm: X25519}, SignParams{}, nil)
	sign("X448", Params{Algorithm: X448}, SignParams{}, nil)
	sign("RSA-2048", Params{Algorithm: RSASSA, Hash: SHA256, Length: 2048}, SignParams{}, f4)
	sign("RSA-4096", Params{Algorithm: RSAPSS, Hash: SHA256, Length: 4096}, SignParams{SaltLength: 0}, f4)
}

// BenchmarkDerive times PBKDF2 and agreement.
func BenchmarkDerive(b *testing.B) {
	var sink bytesSink
	base, err := Import(Raw, Params{Algorithm: PBKDF2}, []byte("password"), false, UsageDeriveBits, false)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("PBKDF2/1000", func(b *testing.B) {
		params := DeriveParams{Hash: SHA256, Salt: make([]byte, 16), Iterations: 1000}
		for b.Loop() {
			if err := base.DeriveBits(never{}, params, 256, false, &sink); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, params := range []Params{{Algorithm: ECDH, Curve: P256}, {Algorithm: X25519}, {Algorithm: X448}} {
		private, public, err := Generate(never{}, params, nil, false, UsageDeriveBits, false)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(params.Algorithm.String(), func(b *testing.B) {
			for b.Loop() {
				if err := private.DeriveBits(never{}, DeriveParams{Public: public}, NoLength, false, &sink); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
