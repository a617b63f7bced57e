package webcrypto

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
)

// DeriveParams are the parameters of a derivation.
type DeriveParams struct {
	Public     *Key   // ECDH, X25519, X448: the other side's
	Hash       Hash   // HKDF, PBKDF2
	Salt       []byte // HKDF, PBKDF2
	Info       []byte // HKDF
	Iterations int    // PBKDF2
}

// derive returns the first bits of what the key, which is used, derives; of an agreed secret all, if length is
// NoLength.
func (k *Key) derive(job Job, params DeriveParams, length int) ([]byte, error) {
	if k.Algorithm == HKDF || k.Algorithm == PBKDF2 {
		if length == NoLength || length%8 != 0 {
			return nil, operationError("%s derives a length that is a multiple of 8 bits", k.Algorithm)
		}
		if k.Algorithm == HKDF {
			return k.deriveHKDF(params, length/8)
		}
		return k.derivePBKDF2(job, params, length/8)
	}
	secret, err := k.agree(params.Public)
	if err != nil || length == NoLength {
		return secret, err
	}
	if length > 8*len(secret) {
		clear(secret)
		return nil, operationError("the secret has %d bits, not %d", 8*len(secret), length)
	}
	secret = secret[:(length+7)/8]
	if rest := length % 8; rest != 0 {
		secret[len(secret)-1] &= 0xff << (8 - rest)
	}
	return secret, nil
}

// agree returns the secret that a private key shares with the owner of a public key (Web Cryptography 24.4.2).
func (k *Key) agree(public *Key) ([]byte, error) {
	if k.Kind != Private {
		return nil, invalidAccess("the base key is not a private key")
	}
	if public == nil || public.Kind != Public {
		return nil, invalidAccess("the other key is not a public key")
	}
	if public.Algorithm != k.Algorithm {
		return nil, invalidAccess("the keys are of different algorithms")
	}
	if k.Algorithm == ECDH {
		if public.Curve != k.Curve {
			return nil, invalidAccess("the keys are of different curves")
		}
		return k.sharedECDH(public)
	}
	return k.sharedOKP(public)
}

func (k *Key) deriveHKDF(params DeriveParams, length int) ([]byte, error) {
	if length == 0 {
		return nil, nil
	}
	derived, err := hkdf.Key(params.Hash.new, k.secret, params.Salt, string(params.Info), length)
	if err != nil {
		return nil, operationError("%v", err)
	}
	return derived, nil
}

// lookAfter is after how many iterations PBKDF2 looks whether it is still wanted: a millisecond or so.
const lookAfter = 4096

// saltPerIteration is how many bytes of salt take as long as an iteration.
const saltPerIteration = 256

// derivePBKDF2 is RFC 8018 5.2. An app may ask for 2^32 iterations, and for many blocks: crypto/pbkdf2 could not be
// stopped.
func (k *Key) derivePBKDF2(job Job, params DeriveParams, length int) ([]byte, error) {
	if params.Iterations == 0 {
		return nil, operationError("PBKDF2 takes one iteration at least")
	}
	if length == 0 {
		return nil, nil
	}
	mac := hmac.New(params.Hash.new, k.secret)
	derived := make([]byte, 0, length+mac.Size())
	var counter [4]byte
	var array [sha512.Size]byte
	done := 0 // since the last look, in iterations
	for block := uint32(1); len(derived) < length; block++ {
		binary.BigEndian.PutUint32(counter[:], block)
		mac.Reset()
		mac.Write(params.Salt)
		mac.Write(counter[:])
		u := mac.Sum(array[:0])
		start := len(derived)
		derived = append(derived, u...)
		t := derived[start:]
		done += len(params.Salt) / saltPerIteration
		for i := 1; ; i++ {
			if done++; done >= lookAfter {
				if done = 0; job.Cancelled() {
					return nil, errGivenUp
				}
			}
			if i >= params.Iterations {
				break
			}
			mac.Reset()
			mac.Write(u)
			u = mac.Sum(u[:0])
			for j := range u {
				t[j] ^= u[j]
			}
		}
	}
	return derived[:length], nil
}
