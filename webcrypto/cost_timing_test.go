package webcrypto

import "testing"

// What cost.go is about.

// timedCase are keys, and what they sign with.
type timedCase struct {
	name   string
	params Params
	with   SignParams
}

var timedCases = []timedCase{
	{"HMAC", Params{Algorithm: HMAC, Hash: SHA256, Length: NoLength}, SignParams{}},
	{"P-256", Params{Algorithm: ECDSA, Curve: P256}, SignParams{Hash: SHA256}},
	{"P-384", Params{Algorithm: ECDSA, Curve: P384}, SignParams{Hash: SHA384}},
	{"P-521", Params{Algorithm: ECDSA, Curve: P521}, SignParams{Hash: SHA512}},
	{"Ed25519", Params{Algorithm: Ed25519}, SignParams{}},
	{"Ed448", Params{Algorithm: Ed448}, SignParams{}},
	{"X25519", Params{Algorithm: X25519}, SignParams{}},
	{"X448", Params{Algorithm: X448}, SignParams{}},
	{"RSA-2048", Params{Algorithm: RSASSA, Hash: SHA256, Length: 2048}, SignParams{}},
	{"RSA-4096", Params{Algorithm: RSAPSS, Hash: SHA256, Length: 4096}, SignParams{SaltLength: 32}},
	{"RSA-4096 without salt", Params{Algorithm: RSAPSS, Hash: SHA256, Length: 4096}, SignParams{}},
}

func BenchmarkOperations(b *testing.B) {
	for _, c := range timedCases {
		b.Run(c.name, c.run)
	}
}

func (c timedCase) run(b *testing.B) {
	key, public := generated(b, c.params)
	b.Run("generate", func(b *testing.B) {
		for b.Loop() {
			generated(b, c.params)
		}
	})
	if public == nil {
		public = key
	} else {
		benchmarkImport(b, "import/private", PKCS8, key)
		benchmarkImport(b, "import/public", SPKI, public)
	}
	if !key.Usages.contains(UsageSign) {
		return
	}
	data := make([]byte, 256)
	signature := output(b, func(out Sink) error { return key.Sign(c.with, data, false, out) })
	b.Run("sign", func(b *testing.B) {
		var sink bytesSink
		for b.Loop() {
			wantError(b, key.Sign(c.with, data, false, &sink), "")
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if good, err := public.Verify(c.with, signature, data, false); err != nil || !good {
				b.Fatal(good, err)
			}
		}
	})
}

func benchmarkImport(b *testing.B, name string, format Format, key *Key) {
	written, err := Export(format, key)
	wantError(b, err, "")
	b.Run(name, func(b *testing.B) {
		for b.Loop() {
			imported(b, format, key.Params, written, key.Usages)
		}
	})
}

func BenchmarkDerive(b *testing.B) {
	base, err := Import(Raw, Params{Algorithm: PBKDF2}, []byte("password"), false, UsageDeriveBits, false)
	wantError(b, err, "")
	b.Run("PBKDF2, 1000 iterations", func(b *testing.B) {
		params := DeriveParams{Hash: SHA256, Salt: make([]byte, 16), Iterations: 1000}
		var sink bytesSink
		for b.Loop() {
			wantError(b, base.DeriveBits(never{}, params, 256, false, &sink), "")
		}
	})
	for _, params := range []Params{{Algorithm: ECDH, Curve: P256}, {Algorithm: X25519}, {Algorithm: X448}} {
		private, public := generated(b, params)
		b.Run(params.Algorithm.String(), func(b *testing.B) {
			var sink bytesSink
			for b.Loop() {
				wantError(b, private.DeriveBits(never{}, DeriveParams{Public: public}, NoLength, false, &sink), "")
			}
		})
	}
}

func BenchmarkBytes(b *testing.B) {
	data := make([]byte, 1<<20)
	for _, hash := range []Hash{SHA1, SHA256, SHA512, MD5} {
		b.Run(hash.String(), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			var sink bytesSink
			for b.Loop() {
				wantError(b, Digest(hash, data, false, &sink), "")
			}
		})
	}
	for _, algorithm := range []Algorithm{AESCBC, AESCTR, AESGCM} {
		key, _ := generated(b, Params{Algorithm: algorithm, Length: 256})
		b.Run(algorithm.String(), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			with := CipherParams{IV: make([]byte, 16), Length: 128}
			var sink bytesSink
			for b.Loop() {
				wantError(b, key.Encrypt(with, data, false, &sink), "")
			}
		})
	}
}
