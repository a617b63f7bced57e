package webcrypto

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"math/big"
)

// Sizes of a modulus in bits. Go's crypto/rsa refuses less, since such keys are broken; more is what OpenSSL
// refuses.
const (
	modulusBitsMin = 1024
	modulusBitsMax = 16384
)

// exponentMax is the largest public exponent that crypto/rsa takes.
const exponentMax = 1<<31 - 1

// rsaHashNames are the JSON Web Algorithms of each RSA algorithm, by hash (RFC 7518).
var rsaHashNames = map[Algorithm][4]string{
	RSASSA:  {"RS1", "RS256", "RS384", "RS512"},
	RSAPSS:  {"PS1", "PS256", "PS384", "PS512"},
	RSAOAEP: {"RSA-OAEP", "RSA-OAEP-256", "RSA-OAEP-384", "RSA-OAEP-512"},
}

func newRSAPublic(params Params, n *big.Int, e *big.Int) (*Key, error) {
	public, err := rsaPublicKey(n, e)
	if err != nil {
		return nil, err
	}
	params.Length = n.BitLen()
	return &Key{Params: params, Kind: Public, rsaPublic: public, Exponent: uint64(public.E)}, nil
}

// rsaPublicKey checks what crypto/rsa would object to at each operation.
func rsaPublicKey(n, e *big.Int) (*rsa.PublicKey, error) {
	if n.Sign() <= 0 || n.Bit(0) == 0 {
		return nil, dataError("the modulus is not odd")
	}
	if bits := n.BitLen(); bits < modulusBitsMin || bits > modulusBitsMax {
		return nil, dataError("the modulus has %d bits, not %d to %d", bits, modulusBitsMin, modulusBitsMax)
	}
	if !e.IsInt64() || e.Int64() < 3 || e.Int64() > exponentMax || e.Bit(0) == 0 {
		return nil, dataError("the public exponent is not an odd number from 3 to %d", int64(exponentMax))
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// rsaParts are the numbers of an RSA private key (RFC 8017 A.1.2).
type rsaParts struct {
	n, e, d, p, q, dp, dq, qi *big.Int
}

// newRSAPrivate checks that the parts belong together.
func newRSAPrivate(params Params, parts rsaParts) (*Key, error) {
	public, err := rsaPublicKey(parts.n, parts.e)
	if err != nil {
		return nil, err
	}
	private := &rsa.PrivateKey{PublicKey: *public, D: parts.d, Primes: []*big.Int{parts.p, parts.q}}
	for _, part := range []*big.Int{parts.d, parts.p, parts.q} {
		if part.Sign() <= 0 || part.BitLen() > public.N.BitLen() {
			return nil, dataError("the key is not a valid RSA private key")
		}
	}
	private.Precompute()
	if err := private.Validate(); err != nil {
		return nil, dataError("the key is not a valid RSA private key")
	}
	computed := private.Precomputed
	if computed.Dp.Cmp(parts.dp) != 0 || computed.Dq.Cmp(parts.dq) != 0 || computed.Qinv.Cmp(parts.qi) != 0 {
		return nil, dataError("the key is not a valid RSA private key")
	}
	return ownRSA(params, private), nil
}

// ownRSA makes a Key of a private key that is valid.
func ownRSA(params Params, private *rsa.PrivateKey) *Key {
	params.Length = private.N.BitLen()
	return &Key{
		Params: params, Kind: Private, Exponent: uint64(private.E), rsaPublic: &private.PublicKey, rsaPrivate: private,
	}
}

// exponentBytes is the public exponent, big-endian, without zeros before it.
func (k *Key) exponentBytes() []byte { return new(big.Int).SetUint64(k.Exponent).Bytes() }

func wipeRSA(private *rsa.PrivateKey) {
	wipeInt(private.D)
	for _, prime := range private.Primes {
		wipeInt(prime)
	}
	wipeInt(private.Precomputed.Dp)
	wipeInt(private.Precomputed.Dq)
	wipeInt(private.Precomputed.Qinv)
	private.Precomputed = rsa.PrecomputedValues{}
}

// ---- Generation ----

// generateRSA makes a private key. exponent is a big-endian number.
func generateRSA(job Job, params Params, exponent []byte) (*rsa.PrivateKey, error) {
	e := new(big.Int).SetBytes(exponent)
	if e.Int64() == 65537 && params.Length <= 4096 {
		private, err := rsa.GenerateKey(rand.Reader, params.Length)
		if err != nil {
			return nil, operationError("%v", err)
		}
		return private, nil
	}
	return generateRSAWith(job, params.Length, e)
}

// checkRSAGeneration checks what generateRSA is given.
func checkRSAGeneration(params Params, exponent []byte) error {
	if params.Length < modulusBitsMin || params.Length > modulusBitsMax {
		return operationError("an RSA modulus has %d to %d bits, not %d", modulusBitsMin, modulusBitsMax, params.Length)
	}
	if e := new(big.Int).SetBytes(exponent); !e.IsInt64() || e.Int64() < 3 || e.Int64() > exponentMax || e.Bit(0) == 0 {
		return operationError("the public exponent is not an odd number from 3 to %d", int64(exponentMax))
	}
	return nil
}

// generateRSAWith makes a key with a public exponent that crypto/rsa does not generate keys for, or with a
// modulus so long that it must be possible to give up (FIPS 186-5 A.1.3).
func generateRSAWith(job Job, bits int, e *big.Int) (*rsa.PrivateKey, error) {
	one := big.NewInt(1)
	for {
		p, err := randomPrime(job, (bits+1)/2, e)
		if err != nil {
			return nil, err
		}
		q, err := randomPrime(job, bits/2, e)
		if err != nil {
			return nil, err
		}
		n := new(big.Int).Mul(p, q)
		if n.BitLen() != bits || p.Cmp(q) == 0 {
			continue
		}
		if p.Cmp(q) < 0 {
			p, q = q, p
		}
		p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
		lambda := new(big.Int).Mul(p1, q1)
		lambda.Div(lambda, new(big.Int).GCD(nil, nil, p1, q1))
		d := new(big.Int).ModInverse(e, lambda)
		private := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: int(e.Int64())}, D: d, Primes: []*big.Int{p, q}}
		private.Precompute()
		if err := private.Validate(); err != nil {
			return nil, operationError("%v", err)
		}
		return private, nil
	}
}

// smallPrimes is the product of the odd primes up to 53: what shares a factor with it is not worth a test.
var smallPrimes = new(big.Int).SetUint64(16294579238595022365)

// randomPrime returns a prime p of that many bits, the first two of which are 1, so that p - 1 has no factor in
// common with e.
func randomPrime(job Job, bits int, e *big.Int) (*big.Int, error) {
	one, p1, gcd := big.NewInt(1), new(big.Int), new(big.Int)
	bytes := make([]byte, (bits+7)/8)
	for {
		if job.Cancelled() {
			return nil, errGivenUp
		}
		rand.Read(bytes)
		p := new(big.Int).SetBytes(bytes)
		p.Rsh(p, uint(8*len(bytes)-bits))
		p.SetBit(p, bits-1, 1).SetBit(p, bits-2, 1).SetBit(p, 0, 1)
		if gcd.GCD(nil, nil, p, smallPrimes).Cmp(one) != 0 {
			continue
		}
		if gcd.GCD(nil, nil, p1.Sub(p, one), e).Cmp(one) == 0 && p.ProbablyPrime(20) {
			return p, nil
		}
	}
}

// ---- Operations ----

// signRSA signs by RSASSA-PKCS1-v1_5 or RSA-PSS (Web Cryptography 20.4.1, 21.4.1).
func (k *Key) signRSA(params SignParams, data []byte, out Sink) error {
	var array [sha512.Size]byte
	digest := k.Hash.sum(data, &array)
	var signature []byte
	var err error
	switch {
	case k.Algorithm == RSASSA:
		signature, err = rsa.SignPKCS1v15(nil, k.rsaPrivate, k.Hash.std(), digest)
	case params.SaltLength == 0:
		signature, err = signPSSWithoutSalt(k.rsaPrivate, k.Hash.new(), digest)
	default:
		if params.SaltLength > saltLengthMax(k) {
			return operationError("the salt is too long for the key")
		}
		signature, err = rsa.SignPSS(rand.Reader, k.rsaPrivate, k.Hash.std(), digest,
			&rsa.PSSOptions{SaltLength: params.SaltLength})
	}
	if err != nil {
		return operationError("signing failed: %v", err)
	}
	copy(out.ReturnBuffer(len(signature)), signature)
	return nil
}

func (k *Key) verifyRSA(params SignParams, signature, data []byte) bool {
	var array [sha512.Size]byte
	digest := k.Hash.sum(data, &array)
	switch {
	case k.Algorithm == RSASSA:
		return rsa.VerifyPKCS1v15(k.rsaPublic, k.Hash.std(), digest, signature) == nil
	case params.SaltLength == 0:
		return verifyPSSWithoutSalt(k.rsaPublic, k.Hash.new(), digest, signature)
	case params.SaltLength > saltLengthMax(k):
		return false
	}
	return rsa.VerifyPSS(k.rsaPublic, k.Hash.std(), digest, signature,
		&rsa.PSSOptions{SaltLength: params.SaltLength}) == nil
}

// saltLengthMax is how long the salt of RSA-PSS may be with this key (RFC 8017 9.1.1, step 3).
func saltLengthMax(k *Key) int {
	encoded := (k.rsaPublic.N.BitLen() - 1 + 7) / 8
	return encoded - k.Hash.std().Size() - 2
}

func (k *Key) encryptOAEP(params CipherParams, data []byte, out Sink) error {
	sealed, err := rsa.EncryptOAEP(k.Hash.new(), rand.Reader, k.rsaPublic, data, params.IV)
	if err != nil {
		return operationError("encryption failed: %v", err)
	}
	copy(out.ReturnBuffer(len(sealed)), sealed)
	return nil
}

func (k *Key) decryptOAEP(params CipherParams, data []byte) ([]byte, error) {
	plain, err := rsa.DecryptOAEP(k.Hash.new(), nil, k.rsaPrivate, data, params.IV)
	if err != nil {
		return nil, operationError("decryption failed")
	}
	return plain, nil
}
