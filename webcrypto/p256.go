package webcrypto

import (
	"crypto/elliptic"
	"math/big"

	"filippo.io/nistec"
)

// A server verifies with few keys and many signatures: those of who signs its users' tokens. Two thirds of the
// time that crypto/ecdsa takes for one of P-256 go into multiplying the public key. For a key that is used again,
// multiples of it are kept, as Go keeps them of the generator, which makes a verification faster by a third.
//
// All of it is about public values: nothing needs to take constant time.

// A P-256 scalar has p256Windows digits of windowBits bits. They are in rows: each row has multiples of its own, so
// that what the point is doubled for one row serves all.
const (
	windowBits  = 5
	windowSize  = 1 << windowBits
	p256Rows    = 4
	p256Columns = 13
	p256Windows = p256Rows * p256Columns // 260 bits
)

// p256Table has the multiples 0 to 31 of the point times 2^(65 i) for each row i: 12 KB.
type p256Table [p256Rows][windowSize]nistec.P256Point

// p256TableBytes is how much memory a table takes.
const p256TableBytes = p256Rows * windowSize * 96

// p256TableAfter is with which verification a key gets its table, which costs less than one verification.
const p256TableAfter = 2

func newP256Table(point []byte) (*p256Table, error) {
	first, err := nistec.NewP256Point().SetBytes(point)
	if err != nil {
		return nil, err
	}
	table := new(p256Table)
	for i := range table {
		row := &table[i]
		row[0].Set(nistec.NewP256Point()) // infinity
		row[1].Set(first)
		for j := 2; j < windowSize; j++ {
			row[j].Add(&row[j-1], first)
		}
		for range windowBits * p256Columns {
			first.Double(first)
		}
	}
	return table, nil
}

// multiply returns scalar times the point.
func (t *p256Table) multiply(scalar *big.Int) *nistec.P256Point {
	sum := nistec.NewP256Point()
	for column := p256Columns - 1; column >= 0; column-- {
		if column != p256Columns-1 {
			for range windowBits {
				sum.Double(sum)
			}
		}
		for i := range t {
			if digit := digitOf(scalar, (i*p256Columns+column)*windowBits); digit != 0 {
				sum.Add(sum, &t[i][digit])
			}
		}
	}
	return sum
}

// digitOf returns windowBits bits of a number, from that bit on.
func digitOf(n *big.Int, from int) (digit uint) {
	for i := range windowBits {
		digit |= n.Bit(from+i) << i
	}
	return digit
}

// verifyP256 is ECDSA's verification (FIPS 186-5 6.4.2), for the point that the table is of. The signature is r and
// s, 32 bytes each.
func verifyP256(table *p256Table, digest, signature []byte) bool {
	n := elliptic.P256().Params().N
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if r.Sign() == 0 || r.Cmp(n) >= 0 || s.Sign() == 0 || s.Cmp(n) >= 0 {
		return false
	}
	e := new(big.Int).SetBytes(digest[:min(len(digest), 32)])
	inverse := s.ModInverse(s, n)
	u1 := e.Mul(e, inverse)
	u1.Mod(u1, n)
	u2 := inverse.Mul(inverse, r)
	u2.Mod(u2, n)
	var scalar [32]byte
	sum, err := nistec.NewP256Point().ScalarBaseMult(u1.FillBytes(scalar[:]))
	if err != nil {
		return false
	}
	x, err := sum.Add(sum, table.multiply(u2)).BytesX()
	if err != nil { // the point at infinity
		return false
	}
	v := new(big.Int).SetBytes(x)
	return v.Mod(v, n).Cmp(r) == 0
}
