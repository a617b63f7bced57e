package webcrypto

import (
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"hash"
	"math/big"
	"reflect"
	"sync/atomic"
)

// Kind says which half of a pair a key is, or that it is neither. Scripts number them alike.
type Kind uint8

// The kinds.
const (
	Public Kind = iota
	Private
	Secret
)

// String returns the kind as CryptoKey.type has it.
func (k Kind) String() string { return [...]string{"public", "private", "secret"}[k] }

// Key is a key. It does not change once it is made, and may be used by several goroutines at a time.
//
// Close wipes it, after which it must not be used: the bytes, the big numbers of RSA and EC keys, and the key
// schedules of AES. Copies that Go's packages make inside (the Montgomery form of RSA's primes, the state of an
// HMAC, the scalars of crypto/ecdh) are out of reach; they go with the garbage.
type Key struct {
	Params
	Kind        Kind
	Usages      Usages
	Extractable bool
	Exponent    uint64 // RSA: the public exponent

	secret []byte // AES, HMAC, HKDF, PBKDF2: the key; EC and OKP private keys: the scalar or seed
	public []byte // EC: the uncompressed point; OKP: the public key; both of private keys too

	rsaPublic    *rsa.PublicKey  // RSA, private keys too
	rsaPrivate   *rsa.PrivateKey // RSA private keys
	ecdsaPublic  *ecdsa.PublicKey
	ecdsaPrivate *ecdsa.PrivateKey

	ecdhPrivate   atomic.Pointer[ecdh.PrivateKey] // ECDH and X25519: made when it is first needed
	verifications atomic.Int32                    // with a key of P-256 that has no table
	table         atomic.Pointer[p256Table]

	block   cipher.Block // AES
	gcm     cipher.AEAD  // AES-GCM with an initialization vector of 12 bytes and a whole tag
	idleMAC atomic.Pointer[hash.Hash]
}

// Size is about how many bytes of memory the key takes.
func (k *Key) Size() int {
	const rest = 256 // this struct
	size := rest + len(k.secret) + len(k.public)
	if k.rsaPublic != nil {
		size += k.rsaPublic.Size() + 128
	}
	if k.rsaPrivate != nil {
		size += 10 * k.rsaPublic.Size() // d, the primes, what was computed of them, and Go's own copies
	}
	if k.block != nil {
		size += 496
	}
	if k.gcm != nil {
		size += 784
	}
	if k.Algorithm == HMAC {
		size += 800
	}
	if k.Algorithm == ECDSA && k.Kind == Public && k.Curve == P256 {
		size += p256TableBytes
	}
	return size
}

// Close wipes the key.
func (k *Key) Close() error {
	clear(k.secret)
	if k.rsaPrivate != nil {
		wipeRSA(k.rsaPrivate)
	}
	if k.ecdsaPrivate != nil {
		//lint:ignore SA1019 the value is not used any more: it is wiped
		wipeInt(k.ecdsaPrivate.D)
	}
	k.idleMAC.Store(nil)
	k.ecdhPrivate.Store(nil)
	wipeSchedule(k.block)
	wipeSchedule(k.gcm)
	k.secret, k.rsaPrivate, k.ecdsaPrivate, k.block, k.gcm = nil, nil, nil, nil, nil
	return nil
}

func wipeInt(n *big.Int) {
	if n != nil {
		clear(n.Bits())
		n.SetInt64(0)
	}
}

// wipeSchedule zeroes what a cipher.Block or cipher.AEAD points to: a struct that holds the schedule of the key.
func wipeSchedule(cipher any) {
	value := reflect.ValueOf(cipher)
	if value.Kind() == reflect.Pointer && !value.IsNil() && value.Elem().Kind() == reflect.Struct {
		value.Elem().SetZero()
	}
}
