package webcrypto

import (
	"bytes"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"hash"
	"math/big"

	"filippo.io/bigmod"
)

// crypto/rsa has no RSA-PSS without salt: its options take a salt length of 0 to mean that any will do. This
// is that one case (RFC 8017 8.1, 9.1).

var errPSSKeyTooShort = errors.New("the key is too short for the hash")

// encodePSSWithoutSalt is EMSA-PSS-ENCODE, of a digest, for a salt of no bytes and a modulus of modulusBits.
func encodePSSWithoutSalt(h hash.Hash, digest []byte, modulusBits int) ([]byte, error) {
	bits := modulusBits - 1
	encoded := make([]byte, (bits+7)/8)
	if len(encoded) < len(digest)+2 {
		return nil, errPSSKeyTooShort
	}
	h.Reset()
	h.Write(make([]byte, 8))
	h.Write(digest)
	sum := h.Sum(nil)

	block := encoded[:len(encoded)-len(sum)-1]
	block[len(block)-1] = 0x01
	maskMGF1(block, sum, h)
	block[0] &= 0xff >> (8*len(encoded) - bits)
	copy(encoded[len(block):], sum)
	encoded[len(encoded)-1] = 0xbc
	return encoded, nil
}

// maskMGF1 xors the mask that MGF1 makes of the seed onto out (RFC 8017 B.2.1).
func maskMGF1(out, seed []byte, h hash.Hash) {
	var counter [4]byte
	for i := uint32(0); len(out) > 0; i++ {
		binary.BigEndian.PutUint32(counter[:], i)
		h.Reset()
		h.Write(seed)
		h.Write(counter[:])
		mask := h.Sum(nil)
		for j := 0; j < len(mask) && j < len(out); j++ {
			out[j] ^= mask[j]
		}
		out = out[min(len(mask), len(out)):]
	}
}

// signPSSWithoutSalt raises to the private exponent in constant time, and checks the outcome, as crypto/rsa
// does, since a signature that a fault has spoiled may tell the key.
func signPSSWithoutSalt(private *rsa.PrivateKey, h hash.Hash, digest []byte) ([]byte, error) {
	encoded, err := encodePSSWithoutSalt(h, digest, private.N.BitLen())
	if err != nil {
		return nil, err
	}
	modulus, err := bigmod.NewModulus(private.N.Bytes())
	if err != nil {
		return nil, err
	}
	message, err := bigmod.NewNat().SetBytes(leftPad(encoded, modulus.Size()), modulus)
	if err != nil {
		return nil, err
	}
	exponent := private.D.FillBytes(make([]byte, modulus.Size()))
	defer clear(exponent)
	signature := bigmod.NewNat().Exp(message, exponent, modulus).Bytes(modulus)
	if !verifyPSSWithoutSalt(&private.PublicKey, h, digest, signature) {
		return nil, errors.New("internal error")
	}
	return signature, nil
}

func verifyPSSWithoutSalt(public *rsa.PublicKey, h hash.Hash, digest, signature []byte) bool {
	if len(signature) != public.Size() {
		return false
	}
	number := new(big.Int).SetBytes(signature)
	if number.Cmp(public.N) >= 0 {
		return false
	}
	number.Exp(number, big.NewInt(int64(public.E)), public.N)
	expected, err := encodePSSWithoutSalt(h, digest, public.N.BitLen())
	// Without salt, the encoding is a function of the digest.
	return err == nil && number.BitLen() <= 8*len(expected) &&
		bytes.Equal(number.FillBytes(make([]byte, len(expected))), expected)
}

// leftPad returns b with zeros before it, size bytes in all.
func leftPad(b []byte, size int) []byte {
	padded := make([]byte, size)
	copy(padded[size-len(b):], b)
	return padded
}
