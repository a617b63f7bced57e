package webcrypto

// What a loop does itself and what it leaves to a goroutine. A loop serves others meanwhile: it should not be held
// up for more than some 100 us by a call, unless handing the work over costs more than that. Timings are of one core
// of an EPYC with SHA extensions.

// How much data a loop hashes or encrypts at a time. Data that another thread takes has to be copied, twice, into
// memory that is new: 1.4 ms of CPU time for 1 MiB, which SHA-256 and AES-GCM take 0.6 and 0.3 ms for. What is slower
// (SHA-512 1.3 ms, AES-CBC 1.1 ms) gets less.
const (
	bytesOnLoopMax     = 1 << 20
	slowBytesOnLoopMax = 256 << 10
	wrapBytesOnLoopMax = 8 << 10 // AES-KW goes over the data six times, block by block
)

// bytesOnLoopMax is how much data a loop hashes at a time.
func (h Hash) bytesOnLoopMax() int {
	if h == SHA1 || h == SHA256 {
		return bytesOnLoopMax
	}
	return slowBytesOnLoopMax
}

// bytesOnLoopMax is how much data a loop signs or encrypts at a time; hash is ECDSA's.
func (k *Key) bytesOnLoopMax(hash Hash) int {
	switch algorithm := k.Algorithm; {
	case algorithm == ECDSA:
		return hash.bytesOnLoopMax()
	case algorithm == HMAC || algorithm.isRSA():
		return k.Hash.bytesOnLoopMax()
	case algorithm == AESCTR || algorithm == AESGCM:
		return bytesOnLoopMax
	case algorithm == AESKW:
		return wrapBytesOnLoopMax
	}
	return slowBytesOnLoopMax
}

// importBytesOnLoopMax is how long the data of a key may be that a loop reads.
const importBytesOnLoopMax = 128 << 10

// publicBitsOnLoopMax is the longest modulus for which a loop verifies or encrypts.
const publicBitsOnLoopMax = 4096

// iterationsOnLoopMax is how many iterations of PBKDF2 a loop does.
const iterationsOnLoopMax = 256

func importIsSlow(format Format, params Params, size int) bool {
	switch algorithm := params.Algorithm; {
	case algorithm.isRSA():
		return format == PKCS8 || size > importBytesOnLoopMax || format == JWK && size > publicBitsOnLoopMax/4
	case algorithm.isEC():
		return params.Curve != P256 && (format == PKCS8 || format == JWK)
	}
	isPrivate := format == PKCS8 || format == JWK
	return isPrivate && (params.Algorithm == Ed448 || params.Algorithm == X448) || size > importBytesOnLoopMax
}

func generationIsSlow(params Params) bool {
	switch algorithm := params.Algorithm; {
	case algorithm.isRSA():
		return true
	case algorithm.isEC():
		return params.Curve != P256
	}
	return params.Algorithm == Ed448 || params.Algorithm == X448 || params.Length > 8*importBytesOnLoopMax
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
		return (params.Iterations+len(params.Salt)/saltPerIteration)*blocks > iterationsOnLoopMax
	case HKDF:
		return len(params.Salt)+(length/256+1)*len(params.Info) > importBytesOnLoopMax || length > 8<<10
	case ECDH:
		return k.Curve != P256
	}
	return k.Algorithm == X448
}
