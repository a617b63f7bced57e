package webcrypto

import (
	"bytes"
)

// Operations with keys. Those that a loop may call take onLoop, and give ErrSlow instead of holding it up.
// Scripts have checked that the key is of the algorithm that the app named. They have checked its usages too, which
// are checked here once more, since this is where they count.

// checkUse is the InvalidAccessError of a key that has none of the usages.
func (k *Key) checkUse(usages Usages) error {
	if k.Usages&usages == 0 {
		return invalidAccess("the key cannot be used for this")
	}
	return nil
}

// SignParams are the parameters of signing and verifying.
type SignParams struct {
	Hash       Hash   // ECDSA
	SaltLength int    // RSA-PSS, in bytes
	Context    []byte // Ed448
}

// Sign signs data (Web Cryptography 14.3.3).
func (k *Key) Sign(params SignParams, data []byte, onLoop bool, out Sink) error {
	if err := k.checkUse(UsageSign); err != nil {
		return err
	}
	if k.Algorithm == HMAC {
		if onLoop && len(data) > k.bytesOnLoopMax(params.Hash) {
			return ErrSlow
		}
		k.signHMAC(data, out)
		return nil
	}
	if k.Kind != Private {
		return invalidAccess("the key is not a private key")
	}
	if onLoop && (len(data) > k.bytesOnLoopMax(params.Hash) || k.signingIsSlow()) {
		return ErrSlow
	}
	switch {
	case k.Algorithm.isRSA():
		return k.signRSA(params, data, out)
	case k.Algorithm.isEC():
		return k.signECDSA(params, data, out)
	}
	return k.signEdDSA(params, data, out)
}

// Verify says whether the signature of data is good (14.3.4).
func (k *Key) Verify(params SignParams, signature, data []byte, onLoop bool) (bool, error) {
	if err := k.checkUse(UsageVerify); err != nil {
		return false, err
	}
	if k.Algorithm == HMAC {
		if onLoop && len(data) > k.bytesOnLoopMax(params.Hash) {
			return false, ErrSlow
		}
		return k.verifyHMAC(signature, data), nil
	}
	if k.Kind != Public {
		return false, invalidAccess("the key is not a public key")
	}
	if onLoop && (len(data) > k.bytesOnLoopMax(params.Hash) || k.verifyingIsSlow()) {
		return false, ErrSlow
	}
	switch {
	case k.Algorithm.isRSA():
		return k.verifyRSA(params, signature, data), nil
	case k.Algorithm.isEC():
		return k.verifyECDSA(params, signature, data), nil
	}
	return k.verifyEdDSA(params, signature, data)
}

// Encrypt encrypts data (14.3.1), or wraps it with AES-KW.
func (k *Key) Encrypt(params CipherParams, data []byte, onLoop bool, out Sink) error {
	if err := k.checkUse(UsageEncrypt | UsageWrapKey); err != nil {
		return err
	}
	if k.Algorithm == RSAOAEP && k.Kind != Public {
		return invalidAccess("the key is not a public key")
	}
	if onLoop && (params.size()+len(data) > k.bytesOnLoopMax(NoHash) || k.verifyingIsSlow()) {
		return ErrSlow
	}
	switch k.Algorithm {
	case RSAOAEP:
		return k.encryptOAEP(params, data, out)
	case AESCBC:
		return k.encryptCBC(params, data, out)
	case AESCTR:
		return k.cryptCTR(params, data, out)
	case AESGCM:
		return k.encryptGCM(params, data, out)
	case AESKW:
		return k.wrapAES(data, out)
	}
	return notSupported("%s does not encrypt", k.Algorithm)
}

// Decrypt decrypts data (14.3.2), or unwraps it with AES-KW.
func (k *Key) Decrypt(params CipherParams, data []byte, onLoop bool, out Sink) error {
	if err := k.checkUse(UsageDecrypt | UsageUnwrapKey); err != nil {
		return err
	}
	if k.Algorithm == RSAOAEP && k.Kind != Private {
		return invalidAccess("the key is not a private key")
	}
	if onLoop && (params.size()+len(data) > k.bytesOnLoopMax(NoHash) || k.signingIsSlow()) {
		return ErrSlow
	}
	var plain []byte
	var err error
	switch k.Algorithm {
	case AESCBC:
		return k.decryptCBC(params, data, out)
	case AESCTR:
		return k.cryptCTR(params, data, out)
	case AESGCM:
		return k.decryptGCM(params, data, out)
	case AESKW:
		plain, err = k.unwrapAES(data)
	case RSAOAEP:
		plain, err = k.decryptOAEP(params, data)
	default:
		return notSupported("%s does not decrypt", k.Algorithm)
	}
	if err != nil {
		return err
	}
	copy(out.ReturnBuffer(len(plain)), plain)
	clear(plain)
	return nil
}

// ---- Derivation ----

// DeriveBits derives length bits, or with NoLength all there are (14.3.8). It ends early if the job is cancelled.
func (k *Key) DeriveBits(job Job, params DeriveParams, length int, onLoop bool, out Sink) error {
	derived, err := k.deriveUsing(job, params, length, onLoop)
	if err != nil {
		return err
	}
	copy(out.ReturnBuffer(len(derived)), derived)
	clear(derived)
	return nil
}

// DeriveKey makes a key of length derived bits (14.3.7). The caller owns it.
func (k *Key) DeriveKey(job Job, params DeriveParams, length int, as Params, extractable bool,
	usages Usages, onLoop bool) (*Key, error) {
	derived, err := k.deriveUsing(job, params, length, onLoop)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	return Import(Raw, as, derived, extractable, usages, false)
}

func (k *Key) deriveUsing(job Job, params DeriveParams, length int, onLoop bool) ([]byte, error) {
	if err := k.checkUse(UsageDeriveBits | UsageDeriveKey); err != nil {
		return nil, err
	}
	if length > secretBitsMax {
		return nil, operationError("%d bits are too many", length)
	}
	if onLoop && k.derivationIsSlow(params, length) {
		return nil, ErrSlow
	}
	return k.derive(job, params, length)
}

// ---- Wrapping ----

// bytesSink keeps what an operation returns.
type bytesSink struct{ bytes []byte }

func (s *bytesSink) ReturnBuffer(n int) []byte {
	s.bytes = make([]byte, n)
	return s.bytes
}

// Wrap exports a key and encrypts it with k (14.3.11).
func (k *Key) Wrap(format Format, key *Key, params CipherParams, onLoop bool, out Sink) error {
	exported, err := Export(format, key)
	if err != nil {
		return err
	}
	defer clear(exported)
	if format == JWK && k.Algorithm == AESKW {
		exported = padJSON(exported)
	}
	return k.Encrypt(params, exported, onLoop, out)
}

// padJSON makes a JSON object as long as AES-KW needs it, which the specification leaves to the implementation.
func padJSON(object []byte) []byte {
	missing := -len(object) & (wrapBlock - 1)
	padded := make([]byte, 0, len(object)+missing)
	padded = append(padded, object[:len(object)-1]...)
	padded = append(padded, bytes.Repeat([]byte{' '}, missing)...)
	return append(padded, '}')
}

// Unwrap decrypts a key with k and imports it (14.3.12). The caller owns it.
func (k *Key) Unwrap(format Format, wrapped []byte, params CipherParams, as Params, extractable bool,
	usages Usages, onLoop bool) (*Key, error) {
	if onLoop && importIsSlow(format, as, len(wrapped)) {
		return nil, ErrSlow
	}
	var sink bytesSink
	if err := k.Decrypt(params, wrapped, onLoop, &sink); err != nil {
		return nil, err
	}
	defer clear(sink.bytes)
	return Import(format, as, sink.bytes, extractable, usages, onLoop)
}
