package webcrypto

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"

	"github.com/cloudflare/circl/dh/x448"
	"github.com/cloudflare/circl/sign/ed448"
)

// okpSize is the length of the public and of the private keys in bytes.
func okpSize(algorithm Algorithm) int {
	return map[Algorithm]int{
		Ed25519: ed25519.PublicKeySize, Ed448: ed448.PublicKeySize, X25519: 32, X448: x448.Size,
	}[algorithm]
}

// okpOIDs are from RFC 8410.
var okpOIDs = map[Algorithm]asn1.ObjectIdentifier{
	X25519: {1, 3, 101, 110}, X448: {1, 3, 101, 111}, Ed25519: {1, 3, 101, 112}, Ed448: {1, 3, 101, 113},
}

// newOKPPublic takes any bytes of the right length: whether they are a point is found out when they are used.
func newOKPPublic(params Params, public []byte) (*Key, error) {
	if len(public) != okpSize(params.Algorithm) {
		return nil, dataError("a public key of %s has %d bytes, not %d", params.Algorithm,
			okpSize(params.Algorithm), len(public))
	}
	return &Key{Params: params, Kind: Public, public: bytes.Clone(public)}, nil
}

// newOKPPrivate takes a private key and, if it is known from somewhere, the public key that should belong to it,
// or nil.
func newOKPPrivate(params Params, private, public []byte) (*Key, error) {
	if len(private) != okpSize(params.Algorithm) {
		return nil, dataError("a private key of %s has %d bytes, not %d", params.Algorithm,
			okpSize(params.Algorithm), len(private))
	}
	computed, err := publicOfOKP(params.Algorithm, private)
	if err != nil {
		return nil, err
	}
	if public != nil && !bytes.Equal(public, computed) {
		return nil, dataError("the public key is not that of the private key")
	}
	return &Key{Params: params, Kind: Private, secret: bytes.Clone(private), public: computed}, nil
}

func publicOfOKP(algorithm Algorithm, private []byte) ([]byte, error) {
	switch algorithm {
	case Ed25519:
		return ed25519.NewKeyFromSeed(private)[ed25519.SeedSize:], nil
	case Ed448:
		return ed448.NewKeyFromSeed(private)[ed448.SeedSize:], nil
	case X448:
		var public, secret x448.Key
		copy(secret[:], private)
		x448.KeyGen(&public, &secret)
		return public[:], nil
	}
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		return nil, dataError("%v", err)
	}
	return key.PublicKey().Bytes(), nil
}

func generateOKP(params Params) (*Key, error) {
	private := make([]byte, okpSize(params.Algorithm))
	rand.Read(private)
	return newOKPPrivate(params, private, nil)
}

// sharedOKP fails if the secret is all zeros, which only public keys of a small order give (RFC 7748 6).
func (k *Key) sharedOKP(public *Key) ([]byte, error) {
	if k.Algorithm == X448 {
		var shared, secret, theirs x448.Key
		copy(secret[:], k.secret)
		copy(theirs[:], public.public)
		if !x448.Shared(&shared, &secret, &theirs) {
			return nil, operationError("the public key is of a small order")
		}
		clear(secret[:])
		return shared[:], nil
	}
	ours, err := k.agreementKey()
	if err != nil {
		return nil, operationError("%v", err)
	}
	theirs, err := ecdh.X25519().NewPublicKey(public.public)
	if err != nil {
		return nil, operationError("%v", err)
	}
	shared, err := ours.ECDH(theirs)
	if err != nil {
		return nil, operationError("the public key is of a small order")
	}
	return shared, nil
}

// contextMax is how many bytes of context Ed448 takes (RFC 8032 5.2).
const contextMax = 255

func (k *Key) signEdDSA(params SignParams, data []byte, out Sink) error {
	private := append(append(make([]byte, 0, len(k.secret)+len(k.public)), k.secret...), k.public...)
	defer clear(private)
	if k.Algorithm == Ed25519 {
		copy(out.ReturnBuffer(ed25519.SignatureSize), ed25519.Sign(private, data))
		return nil
	}
	if len(params.Context) > contextMax {
		return operationError("a context has at most %d bytes, not %d", contextMax, len(params.Context))
	}
	copy(out.ReturnBuffer(ed448.SignatureSize), ed448.Sign(private, data, string(params.Context)))
	return nil
}

// verifyEdDSA is RFC 8032's verification without cofactor, which beyond that takes no key and no R of a small
// order: what they sign is good for almost any message.
func (k *Key) verifyEdDSA(params SignParams, signature, data []byte) (bool, error) {
	if k.Algorithm == Ed25519 {
		return len(signature) == ed25519.SignatureSize &&
			!hasSmallOrder(k.public, smallOrder25519) && !hasSmallOrder(signature[:32], smallOrder25519) &&
			ed25519.Verify(k.public, data, signature), nil
	}
	if len(params.Context) > contextMax {
		return false, operationError("a context has at most %d bytes, not %d", contextMax, len(params.Context))
	}
	return len(signature) == ed448.SignatureSize &&
		!hasSmallOrder(k.public, smallOrder448) && !hasSmallOrder(signature[:57], smallOrder448) &&
		ed448.Verify(k.public, data, signature, string(params.Context)), nil
}

// hasSmallOrder compares all of a point but its sign, which is the first bit of the last byte.
func hasSmallOrder(point []byte, points [][]byte) bool {
	last := len(point) - 1
	for _, small := range points {
		if bytes.Equal(point[:last], small[:last]) && point[last]&0x7f == small[last] {
			return true
		}
	}
	return false
}

// smallOrder25519 are the coordinates y, little-endian, of the points of Ed25519 whose order divides the cofactor
// 8, and what the coordinates below 19 look like with p added.
var smallOrder25519 = littleEndian(32,
	"0", // order 4
	"1", // order 1
	"7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", // order 8
	"05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826", // order 8
	"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec", // p - 1: order 2
	"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed", // p, that is 0
	"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffee", // p + 1, that is 1
)

// smallOrder448 are the same of Ed448, whose cofactor is 4 and p 2^448 - 2^224 - 1.
var smallOrder448 = littleEndian(57,
	"0", // order 4
	"1", // order 1
	strings.Repeat("f", 55)+"e"+strings.Repeat("f", 55)+"e", // p - 1: order 2
	strings.Repeat("f", 55)+"e"+strings.Repeat("f", 56),     // p
	strings.Repeat("f", 56)+strings.Repeat("0", 56),         // p + 1
)

// littleEndian returns hexadecimal numbers as size bytes each, the least significant first.
func littleEndian(size int, numbers ...string) [][]byte {
	list := make([][]byte, len(numbers))
	for i, text := range numbers {
		number, ok := new(big.Int).SetString(text, 16)
		if !ok {
			panic("webcrypto: not a number: " + text)
		}
		list[i] = number.FillBytes(make([]byte, size))
		slices.Reverse(list[i])
	}
	return list
}
