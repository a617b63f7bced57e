package webcrypto

// What a loop does itself and what it leaves to a goroutine. A loop serves others meanwhile: it should not be held
// up for more than some 100 us. Timings are of one core of an EPYC with SHA extensions.

// bytesOnLoopMax is how much data a loop hashes or encrypts at a time: SHA-256 takes 60 us for it, SHA-512 and
// AES-CBC twice that.
const bytesOnLoopMax = 128 << 10

// publicBitsOnLoopMax is the longest modulus for which a loop verifies or encrypts.
const publicBitsOnLoopMax = 4096

// iterationsOnLoopMax is how many iterations of PBKDF2 a loop does.
const iterationsOnLoopMax = 256

func importIsSlow(format Format, params Params, size int) bool {
	switch algorithm := params.Algorithm; {
	case algorithm.isRSA():
		return format == PKCS8 || size > bytesOnLoopMax || format == JWK && size > publicBitsOnLoopMax/4
	case algorithm.isEC():
		return params.Curve != P256 && (format == PKCS8 || format == JWK)
	}
	isPrivate := format == PKCS8 || format == JWK
	return isPrivate && (params.Algorithm == Ed448 || params.Algorithm == X448) || size > bytesOnLoopMax
}

func generationIsSlow(params Params) bool {
	switch algorithm := params.Algorithm; {
	case algorithm.isRSA():
		return true
	case algorithm.isEC():
		return params.Curve != P256
	}
	return params.Algorithm == Ed448 || params.Algorithm == X448 || params.Length > 8*bytesOnLoopMax
}

// signingIsSlow is about what a private key does, verifyingIsSlow about a public one.
func (k *Key) signingIsSlow() bool {
	return k.Algorithm.isRSA() || k.Algorithm.isEC() && k.Curve != P256 || k.Algorithm == Ed448
}

func (k *Key) verifyingIsSlow() bool {
	return k.Algorithm.isRSA() && k.Length > publicBitsOnLoopMax || k.Algorithm.isEC() && k.Curve != P256 ||
		k.Algorithm == Ed448
}

func (k *Key) derivationIsSlow(params DeriveParams, length int) bool {
	switch k.Algorithm {
	case PBKDF2:
		blocks := length/256 + 1
		return params.Iterations*blocks > iterationsOnLoopMax || len(params.Salt) > bytesOnLoopMax
	case HKDF:
		return len(params.Salt)+len(params.Info) > bytesOnLoopMax || length > 8<<10
	case ECDH:
		return k.Curve != P256
	}
	return k.Algorithm == X448
}
