// Package webcrypto is what the Web Cryptography API (W3C, with the "Secure Curves" extension) computes: keys
// and the operations on them, on Go's crypto packages and, for Ed448 and X448, circl.
//
// Scripts do what Web IDL and the algorithm normalization of the specification ask; everything after that is
// here: the checks of each algorithm in the order of its section, parsing and writing of keys, and the
// operations. Key material lives in a Key only. Scripts hold a handle of it, so that no code of an app, however
// it got there, can read the bytes of a key that is not extractable.
//
// Nothing here knows isolates or V8; calls.go is what scripts call. Errors are of type *hostcall.Error and carry
// the DOMException name that the specification gives.
package webcrypto

import (
	"errors"

	"nano/hostcall"
)

func dataError(format string, args ...any) error {
	return hostcall.Errorf("DataError", format, args...)
}

func invalidAccess(format string, args ...any) error {
	return hostcall.Errorf("InvalidAccessError", format, args...)
}

func notSupported(format string, args ...any) error {
	return hostcall.Errorf("NotSupportedError", format, args...)
}

func operationError(format string, args ...any) error {
	return hostcall.Errorf("OperationError", format, args...)
}

func syntaxError(format string, args ...any) error {
	return hostcall.Errorf("SyntaxError", format, args...)
}

// ErrSlow is what an operation returns that would hold up its thread for longer than a loop may wait (see
// cost.go), when the caller has said that it runs on a loop. Nothing was computed: ask again elsewhere.
var ErrSlow = errors.New("webcrypto: too slow for a loop")

// Algorithm is an algorithm that has keys. Scripts number them alike.
type Algorithm uint8

// The algorithms.
const (
	RSASSA Algorithm = iota
	RSAPSS
	RSAOAEP
	ECDSA
	ECDH
	Ed25519
	Ed448
	X25519
	X448
	AESCBC
	AESCTR
	AESGCM
	AESKW
	HMAC
	HKDF
	PBKDF2
	algorithmCount
)

var algorithmNames = [algorithmCount]string{
	"RSASSA-PKCS1-v1_5", "RSA-PSS", "RSA-OAEP", "ECDSA", "ECDH", "Ed25519", "Ed448", "X25519", "X448",
	"AES-CBC", "AES-CTR", "AES-GCM", "AES-KW", "HMAC", "HKDF", "PBKDF2",
}

// String returns the name of the algorithm.
func (a Algorithm) String() string { return algorithmNames[a] }

// isRSA, isEC, isOKP and isAES say which family an algorithm is of. OKP are the curves that JSON Web Keys call
// octet key pairs (RFC 8037).
func (a Algorithm) isRSA() bool { return a <= RSAOAEP }
func (a Algorithm) isEC() bool  { return a == ECDSA || a == ECDH }
func (a Algorithm) isOKP() bool { return Ed25519 <= a && a <= X448 }
func (a Algorithm) isAES() bool { return AESCBC <= a && a <= AESKW }

// Usages is a set of what a key may be used for.
type Usages uint8

// The usages, in the order in which scripts list them.
const (
	UsageEncrypt Usages = 1 << iota
	UsageDecrypt
	UsageSign
	UsageVerify
	UsageDeriveKey
	UsageDeriveBits
	UsageWrapKey
	UsageUnwrapKey
)

var usageNames = [8]string{
	"encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey",
}

func (u Usages) contains(other Usages) bool { return u&other == other }

// usageOf returns the usage of that name, or 0.
func usageOf(name string) Usages {
	for i, known := range usageNames {
		if known == name {
			return 1 << i
		}
	}
	return 0
}

// publicUsages and privateUsages are what the keys of a pair may be used for, secretUsages what a key may that
// is not of a pair.
func (a Algorithm) publicUsages() Usages {
	switch a {
	case RSAOAEP:
		return UsageEncrypt | UsageWrapKey
	case RSASSA, RSAPSS, ECDSA, Ed25519, Ed448:
		return UsageVerify
	}
	return 0
}

func (a Algorithm) privateUsages() Usages {
	switch a {
	case RSAOAEP:
		return UsageDecrypt | UsageUnwrapKey
	case RSASSA, RSAPSS, ECDSA, Ed25519, Ed448:
		return UsageSign
	case ECDH, X25519, X448:
		return UsageDeriveKey | UsageDeriveBits
	}
	return 0
}

func (a Algorithm) secretUsages() Usages {
	switch a {
	case AESCBC, AESCTR, AESGCM:
		return UsageEncrypt | UsageDecrypt | UsageWrapKey | UsageUnwrapKey
	case AESKW:
		return UsageWrapKey | UsageUnwrapKey
	case HMAC:
		return UsageSign | UsageVerify
	case HKDF, PBKDF2:
		return UsageDeriveKey | UsageDeriveBits
	}
	return 0
}

// checkUsages is the SyntaxError of a usage that keys of that kind cannot have.
func checkUsages(usages, allowed Usages, algorithm Algorithm, kind Kind) error {
	if usages&^allowed != 0 {
		return syntaxError("%s %s keys cannot be used for all of these usages", algorithm, kind)
	}
	return nil
}

// Format is how a key is written down.
type Format uint8

// The formats. Scripts number them alike.
const (
	Raw Format = iota
	SPKI
	PKCS8
	JWK
)

// NoLength stands for a length that the app did not give.
const NoLength = -1

// Params are the parameters that belong to a key: those with which it is imported or generated.
type Params struct {
	Algorithm Algorithm
	Hash      Hash  // RSA and HMAC
	Curve     Curve // ECDSA and ECDH
	Length    int   // bits: of the modulus, of an AES or HMAC key; or NoLength
}

// Sink is where an operation puts what it computed, so that it can be written where it stays.
type Sink interface {
	// ReturnBuffer returns n bytes, to be written, that are the result.
	ReturnBuffer(n int) []byte
}

// Job is what long work is done for.
type Job interface {
	// Cancelled reports that nobody waits for the outcome any more, or that it has cost too much.
	Cancelled() bool
}

var errGivenUp = operationError("given up: it took too long")
