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

// signPSSWithoutSalt checks the outcome, as crypto/rsa does, since a signature that a fault has spoiled tells the
// key.
func signPSSWithoutSalt(private *rsa.PrivateKey, h hash.Hash, digest []byte) ([]byte, error) {
	encoded, err := encodePSSWithoutSalt(h, digest, private.N.BitLen())
	if err != nil {
		return nil, err
	}
	signature, err := raisePrivate(private, leftPad(encoded, private.Size()))
	if err != nil {
		return nil, err
	}
	if !verifyPSSWithoutSalt(&private.PublicKey, h, digest, signature) {
		return nil, errors.New("internal error")
	}
	return signature, nil
}

// raisePrivate is RSASP1 by the Chinese remainder theorem (RFC 8017 5.2.1), in constant time.
func raisePrivate(private *rsa.PrivateKey, message []byte) ([]byte, error) {
	n, err := bigmod.NewModulus(private.N.Bytes())
	if err != nil {
		return nil, err
	}
	p, err := bigmod.NewModulus(private.Primes[0].Bytes())
	if err != nil {
		return nil, err
	}
	q, err := bigmod.NewModulus(private.Primes[1].Bytes())
	if err != nil {
		return nil, err
	}
	qInverse, err := bigmod.NewNat().SetBytes(private.Precomputed.Qinv.FillBytes(make([]byte, p.Size())), p)
	if err != nil {
		return nil, err
	}
	m, err := bigmod.NewNat().SetBytes(message, n)
	if err != nil {
		return nil, err
	}
	dp := private.Precomputed.Dp.FillBytes(make([]byte, p.Size()))
	dq := private.Precomputed.Dq.FillBytes(make([]byte, q.Size()))
	defer clear(dp)
	defer clear(dq)
	reduced := bigmod.NewNat()
	s1 := bigmod.NewNat().Exp(reduced.Mod(m, p), dp, p)
	s2 := bigmod.NewNat().Exp(reduced.Mod(m, q), dq, q)
	s1.Sub(reduced.Mod(s2, p), p).Mul(qInverse, p)
	s1.ExpandFor(n).Mul(reduced.Mod(q.Nat(), n), n)
	return s1.Add(s2.ExpandFor(n), n).Bytes(n), nil
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
