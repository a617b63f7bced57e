package webcrypto

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"slices"
	"testing"

	"filippo.io/nistec"
)

// everyParams are keys of every algorithm that generates some.
var everyParams = []Params{
	{Algorithm: RSASSA, Hash: SHA256, Length: 1024}, {Algorithm: RSAPSS, Hash: SHA1, Length: 1031},
	{Algorithm: RSAOAEP, Hash: SHA512, Length: 2048}, {Algorithm: ECDSA, Curve: P256}, {Algorithm: ECDSA, Curve: P384},
	{Algorithm: ECDSA, Curve: P521}, {Algorithm: ECDH, Curve: P256}, {Algorithm: Ed25519}, {Algorithm: Ed448},
	{Algorithm: X25519}, {Algorithm: X448}, {Algorithm: AESCBC, Length: 128}, {Algorithm: AESCTR, Length: 192},
	{Algorithm: AESGCM, Length: 256}, {Algorithm: AESKW, Length: 128}, {Algorithm: HMAC, Hash: SHA384, Length: NoLength},
}

// TestRoundTrips writes keys in every format that they have, and reads them again.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	for _, params := range everyParams {
		key, public := generated(t, params)
		keys := []*Key{key}
		if public != nil {
			keys = append(keys, public)
		}
		for _, key := range keys {
			formats := map[Kind][]Format{Public: {Raw, SPKI, JWK}, Private: {PKCS8, JWK}, Secret: {Raw, JWK}}[key.Kind]
			if key.Kind == Public && params.Algorithm.isRSA() {
				formats = formats[1:]
			}
			for format := Raw; format <= JWK; format++ {
				written, err := Export(format, key)
				if !slices.Contains(formats, format) {
					if err == nil {
						t.Errorf("%v: a %s key was exported in format %d", params, key.Kind, format)
					}
					continue
				}
				wantError(t, err, "")
				read := imported(t, format, key.Params, written, key.Usages)
				again, err := Export(format, read)
				wantError(t, err, "")
				if !bytes.Equal(written, again) || read.Kind != key.Kind || read.Params != key.Params ||
					read.Exponent != key.Exponent {
					t.Errorf("%v: format %d: a %s key comes back as %+v", params, format, key.Kind, read.Params)
				}
			}
		}
	}
}

// TestX509 reads and writes what Go's x509 does.
func TestX509(t *testing.T) {
	t.Parallel()
	for _, params := range everyParams {
		if params.Algorithm.secretUsages() != 0 || params.Algorithm == Ed448 || params.Algorithm == X448 {
			continue
		}
		key, public := generated(t, params)
		der, err := Export(PKCS8, key)
		wantError(t, err, "")
		private, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			t.Fatal(params, err)
		}
		if theirs, err := x509.MarshalPKCS8PrivateKey(private); err != nil || !bytes.Equal(theirs, der) {
			t.Errorf("%v: PKCS #8 is %x, theirs %x, %v", params, der, theirs, err)
		}
		der, err = Export(SPKI, public)
		wantError(t, err, "")
		parsed, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			t.Fatal(params, err)
		}
		if theirs, err := x509.MarshalPKIXPublicKey(parsed); err != nil || !bytes.Equal(theirs, der) {
			t.Errorf("%v: SPKI is %x, theirs %x, %v", params, der, theirs, err)
		}
	}
}

// TestSigning signs and verifies with every algorithm, and verifies what was changed.
func TestSigning(t *testing.T) {
	t.Parallel()
	for _, params := range everyParams {
		if params.Algorithm.privateUsages()&UsageSign == 0 {
			continue
		}
		key, public := generated(t, params)
		data := []byte("data")
		for _, saltLength := range []int{0, 20, saltLengthMaxOf(public)} {
			with := SignParams{Hash: SHA256, SaltLength: saltLength}
			signature := output(t, func(out Sink) error { return key.Sign(with, data, false, out) })
			good, err := public.Verify(with, signature, data, false)
			wantError(t, err, "")
			other, _ := public.Verify(with, signature, []byte("date"), false)
			signature[len(signature)/2] ^= 1
			spoiled, _ := public.Verify(with, signature, data, false)
			empty, _ := public.Verify(with, nil, data, false)
			if !good || other || spoiled || empty {
				t.Errorf("%v: verified %t, other data %t, spoiled %t, empty %t", params, good, other, spoiled, empty)
			}
			wantError(t, public.Sign(with, data, false, &bytesSink{}), "InvalidAccessError")
			_, err = key.Verify(with, signature, data, false)
			wantError(t, err, "InvalidAccessError")
		}
	}
}

func saltLengthMaxOf(key *Key) int {
	if key.Algorithm != RSAPSS {
		return 0
	}
	return saltLengthMax(key)
}

// TestP256Table compares verifications that use a table with those of crypto/ecdsa, for signatures that are good,
// spoiled, and at the edges of what numbers may be.
func TestP256Table(t *testing.T) {
	t.Parallel()
	n := elliptic.P256().Params().N
	edges := []*big.Int{new(big.Int), big.NewInt(1), new(big.Int).Sub(n, big.NewInt(1)), n, new(big.Int).Add(n, big.NewInt(1))}
	for i := range 40 {
		key, public := generated(t, Params{Algorithm: ECDSA, Curve: P256})
		if i%8 == 0 { // the generator itself
			one := big.NewInt(1).FillBytes(make([]byte, 32))
			var err error
			key, err = newECPrivate(key.Params, one, nil)
			wantError(t, err, "")
			public = key.publicHalf()
		}
		table, err := newP256Table(public.public)
		if err != nil {
			t.Fatal(err)
		}
		digest := make([]byte, []int{20, 32, 48, 64}[i%4])
		if i > 4 {
			rand.Read(digest)
		}
		r, s, err := ecdsa.Sign(rand.Reader, key.ecdsaPrivate, digest)
		if err != nil {
			t.Fatal(err)
		}
		// With the generator as public key, e and -e give the same point twice, and its opposite.
		e := new(big.Int).SetBytes(digest[:min(len(digest), 32)])
		e.Mod(e, n)
		opposite := new(big.Int).Sub(n, e)
		numbers := append([]*big.Int{r, s, e, opposite.Mod(opposite, n)}, edges...)
		good := 0
		for _, r := range numbers {
			for _, s := range numbers {
				want := ecdsa.Verify(public.ecdsaPublic, digest, r, s)
				signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
				if got := verifyP256(table, digest, signature); got != want {
					t.Fatalf("digest %x, r %x, s %x: %t, want %t", digest, r, s, got, want)
				}
				if want {
					good++
				}
			}
		}
		if good == 0 {
			t.Error("no signature was good")
		}
	}
}

// TestP256Multiples compares multiples of a point with those of nistec.
func TestP256Multiples(t *testing.T) {
	t.Parallel()
	n := elliptic.P256().Params().N
	_, public := generated(t, Params{Algorithm: ECDSA, Curve: P256})
	table, err := newP256Table(public.public)
	if err != nil {
		t.Fatal(err)
	}
	point, err := nistec.NewP256Point().SetBytes(public.public)
	if err != nil {
		t.Fatal(err)
	}
	scalars := []*big.Int{new(big.Int), big.NewInt(1), big.NewInt(31), big.NewInt(32), new(big.Int).Sub(n, big.NewInt(1)), n}
	for bit := range uint(256) {
		scalars = append(scalars, new(big.Int).Lsh(big.NewInt(1), bit))
	}
	for range 200 {
		bytes := make([]byte, 32)
		rand.Read(bytes)
		scalars = append(scalars, new(big.Int).SetBytes(bytes))
	}
	for _, scalar := range scalars {
		want, err := nistec.NewP256Point().ScalarMult(point, scalar.FillBytes(make([]byte, 32)))
		if err != nil {
			t.Fatal(err)
		}
		if got := table.multiply(scalar); got.Equal(want) != 1 {
			t.Errorf("%x times %x is %x, want %x", scalar, public.public, got.Bytes(), want.Bytes())
		}
	}
}

// TestPSSSalt: signatures are good for the salt length that they were made with, which is what crypto/rsa finds.
func TestPSSSalt(t *testing.T) {
	t.Parallel()
	for _, bits := range []int{1024, 1025, 1031} {
		key, public := generated(t, Params{Algorithm: RSAPSS, Hash: SHA256, Length: bits})
		var array [64]byte
		digest := SHA256.sum([]byte("data"), &array)
		most := saltLengthMax(public)
		for _, length := range []int{0, 1, most} {
			with := SignParams{SaltLength: length}
			signature := output(t, func(out Sink) error { return key.Sign(with, []byte("data"), false, out) })
			if err := rsa.VerifyPSS(public.rsaPublic, crypto.SHA256, digest, signature, nil); err != nil {
				t.Errorf("%d bits, salt of %d: crypto/rsa: %v", bits, length, err)
			}
			for _, claimed := range []int{0, 1, 2, most, most + 1, 1<<32 - 1} {
				good, err := public.Verify(SignParams{SaltLength: claimed}, signature, []byte("data"), false)
				wantError(t, err, "")
				if good != (claimed == length) {
					t.Errorf("%d bits: a salt of %d verified as %d: %t", bits, length, claimed, good)
				}
			}
		}
		wantError(t, key.Sign(SignParams{SaltLength: most + 1}, nil, false, &bytesSink{}), "OperationError")
	}
}

func TestOAEP(t *testing.T) {
	t.Parallel()
	key, public := generated(t, Params{Algorithm: RSAOAEP, Hash: SHA256, Length: 1024})
	for _, size := range []int{0, 1, 128 - 2*32 - 2} {
		plain := bytes.Repeat([]byte{7}, size)
		with := CipherParams{IV: []byte("label")}
		sealed := output(t, func(out Sink) error { return public.Encrypt(with, plain, false, out) })
		opened := output(t, func(out Sink) error { return key.Decrypt(with, sealed, false, out) })
		if !bytes.Equal(opened, plain) {
			t.Errorf("%d bytes come back as %x", size, opened)
		}
		wantError(t, key.Decrypt(CipherParams{}, sealed, false, &bytesSink{}), "OperationError")
	}
	wantError(t, public.Encrypt(CipherParams{}, make([]byte, 63), false, &bytesSink{}), "OperationError")
	wantError(t, key.Encrypt(CipherParams{}, nil, false, &bytesSink{}), "InvalidAccessError")
	wantError(t, public.Decrypt(CipherParams{}, nil, false, &bytesSink{}), "InvalidAccessError")
}

// TestCounterWraps compares counters of every length with counting block by block.
func TestCounterWraps(t *testing.T) {
	t.Parallel()
	secret := make([]byte, 16)
	key := imported(t, Raw, Params{Algorithm: AESCTR}, secret, UsageEncrypt)
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 7*aes.BlockSize+3)
	for bits := 1; bits <= 128; bits++ {
		mask := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1))
		for before := range int64(9) { // blocks until the counter is 0
			high := new(big.Int).Lsh(big.NewInt(0x1234567), uint(bits))
			high.And(high, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1)))
			counter := new(big.Int).Neg(big.NewInt(before))
			counter.And(counter, mask)
			var want []byte
			for len(want) < len(data) {
				var stream [aes.BlockSize]byte
				new(big.Int).Or(high, counter).FillBytes(stream[:])
				block.Encrypt(stream[:], stream[:])
				want = append(want, stream[:]...)
				counter.Add(counter, big.NewInt(1)).And(counter, mask)
			}
			counter.Neg(big.NewInt(before)).And(counter, mask)
			with := CipherParams{IV: new(big.Int).Or(high, counter).FillBytes(make([]byte, 16)), Length: bits}
			var sink bytesSink
			err := key.Encrypt(with, data, true, &sink)
			if bits < 3 {
				wantError(t, err, "OperationError") // 8 blocks
				continue
			}
			wantError(t, err, "")
			if !bytes.Equal(sink.bytes, want[:len(data)]) {
				t.Fatalf("a counter of %d bits, %d blocks before it wraps, goes wrong", bits, before)
			}
		}
	}
}

// TestGCMTags compares tags of every length with the whole one, for initialization vectors of many lengths.
func TestGCMTags(t *testing.T) {
	t.Parallel()
	key, _ := generated(t, Params{Algorithm: AESGCM, Length: 256})
	for _, ivLength := range []int{1, 11, 12, 13, 16, 64, 1000} {
		iv, plain := bytes.Repeat([]byte{3}, ivLength), []byte("some text that is longer than a block")
		aead, err := cipher.NewGCMWithNonceSize(key.block, ivLength)
		if err != nil {
			t.Fatal(err)
		}
		whole := aead.Seal(nil, iv, plain, []byte("more"))
		for bits := 0; bits <= 136; bits += 8 {
			with := CipherParams{IV: iv, Additional: []byte("more"), Length: bits}
			var sink bytesSink
			err := key.Encrypt(with, plain, true, &sink)
			if !slices.Contains([]int{32, 64, 96, 104, 112, 120, 128}, bits) {
				wantError(t, err, "OperationError")
				continue
			}
			wantError(t, err, "")
			if !bytes.Equal(sink.bytes, whole[:len(plain)+bits/8]) {
				t.Errorf("IV of %d bytes, tag of %d bits: got %x, want %x", ivLength, bits, sink.bytes, whole)
			}
			opened := output(t, func(out Sink) error { return key.Decrypt(with, sink.bytes, true, out) })
			if !bytes.Equal(opened, plain) {
				t.Errorf("tag of %d bits: decrypted to %q", bits, opened)
			}
			for _, at := range []int{0, len(sink.bytes) - 1} {
				sink.bytes[at] ^= 0x80
				wantError(t, key.Decrypt(with, sink.bytes, true, &bytesSink{}), "OperationError")
				sink.bytes[at] ^= 0x80
			}
			wantError(t, key.Decrypt(with, sink.bytes[:bits/8-1], true, &bytesSink{}), "OperationError")
		}
	}
	wantError(t, key.Encrypt(CipherParams{Length: 128}, nil, true, &bytesSink{}), "OperationError")
}

func TestCBCPadding(t *testing.T) {
	t.Parallel()
	for last := 0; last < 256; last++ {
		block := bytes.Repeat([]byte{byte(last)}, aes.BlockSize)
		want := 0
		if 1 <= last && last <= aes.BlockSize {
			want = last
		}
		if got := paddingLength(block); got != want {
			t.Errorf("a block of %d has a padding of %d", last, got)
		}
		if want > 1 {
			block[aes.BlockSize-want] ^= 1
			if got := paddingLength(block); got != 0 {
				t.Errorf("a spoiled padding of %d counts as %d", want, got)
			}
			block[aes.BlockSize-want] ^= 1
		}
		if 0 < want && want < aes.BlockSize {
			block[aes.BlockSize-want-1] ^= 1
			if got := paddingLength(block); got != want {
				t.Errorf("what comes before a padding of %d makes it %d", want, got)
			}
		}
	}
}

// TestWrapping wraps keys in every format and reads them again.
func TestWrapping(t *testing.T) {
	t.Parallel()
	wrapping, _ := generated(t, Params{Algorithm: AESKW, Length: 128})
	for _, params := range everyParams {
		key, _ := generated(t, params)
		wrapped := output(t, func(out Sink) error { return wrapping.Wrap(JWK, key, CipherParams{}, false, out) })
		unwrapped, err := wrapping.Unwrap(JWK, wrapped, CipherParams{}, key.Params, true, key.Usages, false)
		wantError(t, err, "")
		want, _ := Export(JWK, key)
		if got, err := Export(JWK, unwrapped); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: unwrapped %s, %v", params, got, err)
		}
		wrapped[len(wrapped)-1] ^= 1
		_, err = wrapping.Unwrap(JWK, wrapped, CipherParams{}, key.Params, true, key.Usages, false)
		wantError(t, err, "OperationError")
	}
}

// TestNotExtractable: no way leads to the bytes of a key that is not extractable.
func TestNotExtractable(t *testing.T) {
	t.Parallel()
	wrapping, _ := generated(t, Params{Algorithm: AESKW, Length: 128})
	for _, params := range everyParams {
		usages := params.Algorithm.privateUsages() | params.Algorithm.secretUsages()
		key, public, err := Generate(never{}, params, []byte{1, 0, 1}, false, usages, false)
		wantError(t, err, "")
		if public != nil && !public.Extractable {
			t.Errorf("%v: the public key is not extractable", params)
		}
		for format := Raw; format <= JWK; format++ {
			_, err := Export(format, key)
			wantError(t, err, "InvalidAccessError")
			wantError(t, wrapping.Wrap(format, key, CipherParams{}, false, &bytesSink{}), "InvalidAccessError")
		}
	}
	for _, algorithm := range []Algorithm{HKDF, PBKDF2} {
		_, err := Import(Raw, Params{Algorithm: algorithm}, []byte("secret"), true, UsageDeriveBits, false)
		wantError(t, err, "SyntaxError")
	}
}

// TestWipe looks at the memory of keys after they were closed.
func TestWipe(t *testing.T) {
	t.Parallel()
	for _, params := range everyParams {
		key, _ := generated(t, params)
		secret := key.secret
		var numbers []*big.Int
		if private := key.rsaPrivate; private != nil {
			numbers = append(private.Primes, private.D, private.Precomputed.Dp, private.Precomputed.Qinv)
		}
		var words [][]big.Word
		for _, number := range numbers {
			words = append(words, number.Bits())
		}
		block := key.block
		if err := key.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(secret, make([]byte, len(secret))) {
			t.Errorf("%v: the secret is still there", params)
		}
		for _, word := range words {
			if slices.ContainsFunc(word, func(w big.Word) bool { return w != 0 }) {
				t.Errorf("%v: a number is still there", params)
			}
		}
		if block != nil {
			zeros, err := aes.NewCipher(make([]byte, params.Length/8))
			if err != nil {
				t.Fatal(err)
			}
			var a, b [aes.BlockSize]byte
			block.Encrypt(a[:], a[:])
			if zeros.Encrypt(b[:], b[:]); a == b {
				t.Errorf("%v: encrypts as if with a key of zeros", params)
			}
		}
	}
}

// TestSmallOrder checks the lists by the equations of the curves: x^2 + y^2 = 1 + d x^2 y^2 (RFC 8032 5.2) and
// -x^2 + y^2 = 1 + d x^2 y^2 (5.1).
func TestSmallOrder(t *testing.T) {
	t.Parallel()
	number := func(text string) *big.Int {
		n, ok := new(big.Int).SetString(text, 0)
		if !ok {
			t.Fatal(text)
		}
		return n
	}
	p25519 := number("0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed")
	d25519 := new(big.Int).ModInverse(big.NewInt(121666), p25519)
	d25519.Mul(d25519, big.NewInt(-121665)).Mod(d25519, p25519)
	p448 := number("0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffffffffffffffffffffffffffffffffffffffffffffffffffff")
	for _, curve := range []struct {
		points  [][]byte
		p, d    *big.Int
		a       int64
		doubles int // cofactor 2^doubles
	}{{smallOrder25519, p25519, d25519, -1, 3}, {smallOrder448, p448, big.NewInt(-39081), 1, 2}} {
		for _, point := range curve.points {
			bigEndian := slices.Clone(point)
			slices.Reverse(bigEndian)
			y := new(big.Int).Mod(new(big.Int).SetBytes(bigEndian), curve.p)
			if !smallOrder(curve.p, curve.d, curve.a, y, curve.doubles) {
				t.Errorf("%x is no point of small order", point)
			}
		}
	}
}

// smallOrder doubles the point with the coordinate y and looks whether it becomes (0, 1).
func smallOrder(p, d *big.Int, a int64, y *big.Int, doubles int) bool {
	one := big.NewInt(1)
	mod := func(n *big.Int) *big.Int { return n.Mod(n, p) }
	mul := func(factors ...*big.Int) *big.Int {
		product := big.NewInt(1)
		for _, factor := range factors {
			mod(product.Mul(product, factor))
		}
		return product
	}
	yy := mul(y, y)
	// x^2 = (1 - y^2) / (a - d y^2)
	divisor := mod(new(big.Int).Sub(big.NewInt(a), mul(d, yy)))
	xx := mul(mod(new(big.Int).Sub(one, yy)), new(big.Int).ModInverse(divisor, p))
	x := new(big.Int).ModSqrt(xx, p)
	if x == nil {
		return false
	}
	for range doubles {
		dxy := mul(d, x, x, y, y)
		newX := mul(mod(new(big.Int).Add(mul(x, y), mul(x, y))),
			new(big.Int).ModInverse(mod(new(big.Int).Add(one, dxy)), p))
		axx := mul(big.NewInt(a), x, x)
		newY := mul(mod(new(big.Int).Sub(mul(y, y), axx)),
			new(big.Int).ModInverse(mod(new(big.Int).Sub(one, dxy)), p))
		x, y = newX, newY
	}
	return x.Sign() == 0 && y.Cmp(one) == 0
}

// TestExponents makes RSA keys that crypto/rsa would not.
func TestExponents(t *testing.T) {
	t.Parallel()
	for _, e := range []uint64{3, 17, 65539, exponentMax} {
		exponent := binary.BigEndian.AppendUint64(nil, e)
		key, public, err := Generate(never{}, Params{Algorithm: RSASSA, Hash: SHA256, Length: 1025}, exponent, true,
			UsageSign|UsageVerify, false)
		wantError(t, err, "")
		if public.Exponent != e || public.Length != 1025 || key.Length != 1025 {
			t.Errorf("exponent %d: got %d, %d bits", e, public.Exponent, public.Length)
		}
		signature := output(t, func(out Sink) error { return key.Sign(SignParams{}, []byte("data"), false, out) })
		if good, _ := public.Verify(SignParams{}, signature, []byte("data"), false); !good {
			t.Errorf("exponent %d: the signature is not good", e)
		}
	}
	for _, exponent := range [][]byte{nil, {0}, {1}, {1, 0, 0}, {0x80, 0, 0, 1}, bytes.Repeat([]byte{0xff}, 100)} {
		_, _, err := Generate(never{}, Params{Algorithm: RSASSA, Length: 1024}, exponent, true, UsageSign, false)
		wantError(t, err, "OperationError")
	}
	for _, bits := range []int{0, 512, 1023, modulusBitsMax + 1, 1<<32 - 1} {
		_, _, err := Generate(never{}, Params{Algorithm: RSASSA, Length: bits}, []byte{3}, true, UsageSign, false)
		wantError(t, err, "OperationError")
	}
}

// TestCancelled: what takes long ends when nobody waits.
func TestCancelled(t *testing.T) {
	t.Parallel()
	_, _, err := Generate(always{}, Params{Algorithm: RSASSA, Length: 16384}, []byte{1, 0, 1}, true, UsageSign, false)
	wantError(t, err, "OperationError")
	key, err := Import(Raw, Params{Algorithm: PBKDF2}, nil, false, UsageDeriveBits, false)
	wantError(t, err, "")
	with := DeriveParams{Hash: SHA512, Iterations: 1<<32 - 1}
	wantError(t, key.DeriveBits(always{}, with, 1<<20, false, &bytesSink{}), "OperationError")
	with = DeriveParams{Hash: SHA512, Iterations: 1} // of many blocks
	wantError(t, key.DeriveBits(always{}, with, secretBitsMax, false, &bytesSink{}), "OperationError")
	with.Salt = make([]byte, 2*lookAfter*saltPerIteration)
	wantError(t, key.DeriveBits(always{}, with, 512, false, &bytesSink{}), "OperationError")
}

// TestSlow: a loop is not held up.
func TestSlow(t *testing.T) {
	t.Parallel()
	key, public := generated(t, Params{Algorithm: RSASSA, Hash: SHA256, Length: 1024})
	big := make([]byte, bytesOnLoopMax+1)
	password, err := Import(Raw, Params{Algorithm: PBKDF2}, nil, false, UsageDeriveBits, true)
	wantError(t, err, "")
	_, errVerify := public.Verify(SignParams{}, nil, big, true)
	_, _, errGenerate := Generate(never{}, Params{Algorithm: RSASSA, Length: 2048}, []byte{3}, true, UsageSign, true)
	der, err := Export(PKCS8, key)
	wantError(t, err, "")
	_, errImport := Import(PKCS8, key.Params, der, true, UsageSign, true)
	cipher, _ := generated(t, Params{Algorithm: AESGCM, Length: 128})
	wrapper, _ := generated(t, Params{Algorithm: AESKW, Length: 128})
	_, errJSON := Import(JWK, Params{Algorithm: HMAC}, big, true, UsageSign, true)
	for what, err := range map[string]error{
		"digest":           Digest(SHA256, big, true, &bytesSink{}),
		"sign":             key.Sign(SignParams{}, nil, true, &bytesSink{}),
		"derive":           password.DeriveBits(never{}, DeriveParams{Iterations: 100000}, 256, true, &bytesSink{}),
		"derive with salt": password.DeriveBits(never{}, DeriveParams{Iterations: 1, Salt: big[:100_000]}, 8<<10, true, &bytesSink{}),
		"additional data":  cipher.Encrypt(CipherParams{IV: big[:12], Additional: big, Length: 128}, nil, true, &bytesSink{}),
		"wrapping":         wrapper.Encrypt(CipherParams{}, big[:64<<10], true, &bytesSink{}),
		"verify":           errVerify, "generate": errGenerate, "import": errImport, "import of JSON": errJSON,
	} {
		if err != ErrSlow {
			t.Errorf("%s on a loop: %v", what, err)
		}
	}
}

// TestDERErrors: a key that is cut, followed by something, of another algorithm or curve, or whose parts do not
// belong together is a DataError.
func TestDERErrors(t *testing.T) {
	t.Parallel()
	for _, params := range everyParams {
		if params.Algorithm.secretUsages() != 0 {
			continue
		}
		key, public := generated(t, params)
		for _, c := range []struct {
			format Format
			key    *Key
		}{{PKCS8, key}, {SPKI, public}} {
			der, err := Export(c.format, c.key)
			wantError(t, err, "")
			for n := range der {
				_, err := Import(c.format, params, der[:n], true, c.key.Usages, false)
				wantError(t, err, "DataError")
			}
			_, err = Import(c.format, params, append(bytes.Clone(der), 0), true, c.key.Usages, false)
			wantError(t, err, "DataError")
			for _, other := range everyParams {
				if other.Algorithm.isRSA() == params.Algorithm.isRSA() &&
					(other.Algorithm.isEC() != params.Algorithm.isEC() || other.Curve == params.Curve) {
					continue
				}
				if other.Algorithm.secretUsages() != 0 {
					continue
				}
				usages := other.Algorithm.privateUsages()
				if c.format == SPKI {
					usages = other.Algorithm.publicUsages()
				}
				_, err := Import(c.format, other, der, true, usages, false)
				wantError(t, err, "DataError")
			}
		}
	}
	// A public key that is not that of the private one.
	key, _ := generated(t, Params{Algorithm: ECDSA, Curve: P256})
	_, stranger := generated(t, Params{Algorithm: ECDSA, Curve: P256})
	key.public = stranger.public
	der, err := Export(PKCS8, key)
	wantError(t, err, "")
	_, err = Import(PKCS8, key.Params, der, true, UsageSign, false)
	wantError(t, err, "DataError")
	// A length that could be written shorter.
	key, _ = generated(t, Params{Algorithm: Ed25519})
	der, err = Export(PKCS8, key)
	wantError(t, err, "")
	long := append([]byte{der[0], 0x81}, der[1:]...)
	_, err = Import(PKCS8, key.Params, long, true, UsageSign, false)
	wantError(t, err, "DataError")
	// Parameters where there are none, which for RSA would be NULL.
	withNull := bytes.Replace(der, []byte{0x30, 5, 6, 3, 43, 101, 112}, []byte{0x30, 7, 6, 3, 43, 101, 112, 5, 0}, 1)
	withNull[1] += 2
	_, err = Import(PKCS8, key.Params, withNull, true, UsageSign, false)
	wantError(t, err, "DataError")
}

// TestPoints: compressed points are read; points at infinity, beside the curve or of the wrong length are not.
func TestPoints(t *testing.T) {
	t.Parallel()
	for curve := range curveCount {
		params := Params{Algorithm: ECDSA, Curve: curve}
		_, public := generated(t, params)
		size := curve.size()
		compressed := append([]byte{2 + public.public[2*size]&1}, public.public[1:][:size]...)
		key := imported(t, Raw, params, compressed, UsageVerify)
		if raw, err := Export(Raw, key); err != nil || !bytes.Equal(raw, public.public) {
			t.Errorf("%s: %x comes back as %x, %v", curveNames[curve], public.public, raw, err)
		}
		beside := bytes.Clone(public.public)
		beside[len(beside)-1] ^= 1
		hybrid := bytes.Clone(public.public)
		hybrid[0] = 6 + public.public[2*size]&1
		large := append([]byte{2}, bytes.Repeat([]byte{0xff}, size)...)
		for _, point := range [][]byte{nil, {0}, {4}, beside, hybrid, large, public.public[:2*size], append(beside, 0)} {
			_, err := Import(Raw, params, point, true, UsageVerify, false)
			wantError(t, err, "DataError")
		}
		for _, scalar := range [][]byte{make([]byte, size), bytes.Repeat([]byte{0xff}, size), make([]byte, size-1)} {
			_, err := newECPrivate(params, scalar, nil)
			wantError(t, err, "DataError")
		}
	}
	for _, params := range []Params{{Algorithm: ECDSA, Curve: NoCurve}, {Algorithm: ECDH, Curve: NoCurve}} {
		_, err := Import(Raw, params, []byte{4}, true, 0, false)
		wantError(t, err, "DataError")
		_, _, err = Generate(never{}, params, nil, true, params.Algorithm.privateUsages(), false)
		wantError(t, err, "NotSupportedError")
	}
}

// TestJWKErrors: what is wrong with a key is a DataError, whatever it is.
func TestJWKErrors(t *testing.T) {
	t.Parallel()
	key, _ := generated(t, Params{Algorithm: RSASSA, Hash: SHA256, Length: 1024})
	good, err := Export(JWK, key)
	wantError(t, err, "")
	change := func(name string, value any) []byte {
		var members map[string]any
		if err := json.Unmarshal(good, &members); err != nil {
			t.Fatal(err)
		}
		if value == nil {
			delete(members, name)
		} else {
			members[name] = value
		}
		changed, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	for _, text := range []string{"", "null", "1", "[]", `"x"`, "{", `{}`, `{"kty":{}}`, `{"kty":"RSA","key_ops":1}`} {
		_, err := Import(JWK, key.Params, []byte(text), true, UsageSign, false)
		wantError(t, err, "DataError")
	}
	for name, value := range map[string]any{
		"kty": "EC", "alg": "RS512", "use": "enc", "ext": false, "n": nil, "e": "AQAA", "p": nil, "q": "AQAB", "dp": "AQAB",
		"dq": "!", "qi": "", "d": "AQ==", "key_ops": []string{"sign", "sign"},
	} {
		_, err := Import(JWK, key.Params, change(name, value), true, UsageSign, false)
		wantError(t, err, "DataError")
	}
	_, err = Import(JWK, key.Params, change("key_ops", []string{"verify"}), true, UsageSign, false)
	wantError(t, err, "DataError")
	_, err = Import(JWK, key.Params, change("oth", []any{}), true, UsageSign, false)
	wantError(t, err, "NotSupportedError")
	_, err = Import(JWK, key.Params, change("d", nil), true, UsageSign, false) // a public key
	wantError(t, err, "SyntaxError")
}

// TestHMACLengths: keys whose length is no multiple of 8 bits.
func TestHMACLengths(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]string{9: "ff80", 16: "ffff", NoLength: "ffff"} {
		key := imported(t, Raw, Params{Algorithm: HMAC, Length: length}, []byte{0xff, 0xff}, UsageSign)
		exported, err := Export(Raw, key)
		wantError(t, err, "")
		if !bytes.Equal(exported, unhex(t, want)) {
			t.Errorf("%d bits: %x", length, exported)
		}
	}
	for _, length := range []int{0, 8, 17} {
		_, err := Import(Raw, Params{Algorithm: HMAC, Length: length}, []byte{0xff, 0xff}, true, UsageSign, false)
		wantError(t, err, "DataError")
	}
	_, err := Import(Raw, Params{Algorithm: HMAC, Length: NoLength}, nil, true, UsageSign, false)
	wantError(t, err, "DataError")
}
