package webcrypto

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/asn1"
	"math/big"
)

// Curve is an elliptic curve of NIST. Scripts number them alike.
type Curve uint8

// The curves.
const (
	P256 Curve = iota
	P384
	P521
	curveCount
)

// NoCurve stands for a curve that there is not.
const NoCurve = Curve(0xff)

var curveNames = [curveCount]string{"P-256", "P-384", "P-521"}

// curveAlgorithms are the JSON Web Algorithms of ECDSA, by curve (RFC 7518 3.1).
var curveAlgorithms = [curveCount]string{"ES256", "ES384", "ES512"}

var curveOIDs = [curveCount]asn1.ObjectIdentifier{
	{1, 2, 840, 10045, 3, 1, 7}, {1, 3, 132, 0, 34}, {1, 3, 132, 0, 35},
}

func (c Curve) std() elliptic.Curve {
	return [...]func() elliptic.Curve{elliptic.P256, elliptic.P384, elliptic.P521}[c]()
}

// size is the length of a coordinate, and of a private key, in bytes.
func (c Curve) size() int { return [...]int{32, 48, 66}[c] }

// newECPublic takes a point as SEC 1 writes it, compressed or not.
func newECPublic(params Params, point []byte) (*Key, error) {
	if params.Curve >= curveCount {
		return nil, dataError("there is no such curve")
	}
	curve := params.Curve.std()
	if size := params.Curve.size(); len(point) == 1+size && (point[0] == 2 || point[0] == 3) {
		x, y := elliptic.UnmarshalCompressed(curve, point)
		if x == nil {
			return nil, dataError("the point is not on the curve")
		}
		point = joinPoint(x.FillBytes(make([]byte, size)), y.FillBytes(make([]byte, size)))
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, dataError("the key is not a point of the curve %s", curveNames[params.Curve])
	}
	return &Key{Params: params, Kind: Public, public: bytes.Clone(point), ecdsaPublic: public}, nil
}

// joinPoint writes a point down, uncompressed.
func joinPoint(x, y []byte) []byte {
	return append(append([]byte{4}, x...), y...)
}

// newECPrivate takes a scalar, whose length is that of the curve, and, if it is known from somewhere, the point
// that should belong to it, or nil.
func newECPrivate(params Params, scalar, point []byte) (*Key, error) {
	if params.Curve >= curveCount {
		return nil, dataError("there is no such curve")
	}
	private, err := ecdsa.ParseRawPrivateKey(params.Curve.std(), scalar)
	if err != nil {
		return nil, dataError("the key is not a private key of the curve %s", curveNames[params.Curve])
	}
	key, err := ownEC(params, private)
	if err != nil {
		return nil, err
	}
	if point != nil {
		public, err := newECPublic(params, point)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(public.public, key.public) {
			return nil, dataError("the public key is not that of the private key")
		}
	}
	return key, nil
}

// ownEC makes a Key of a private key.
func ownEC(params Params, private *ecdsa.PrivateKey) (*Key, error) {
	scalar, err := private.Bytes()
	if err != nil {
		return nil, operationError("%v", err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, operationError("%v", err)
	}
	return &Key{
		Params: params, Kind: Private, secret: scalar, public: point,
		ecdsaPublic: &private.PublicKey, ecdsaPrivate: private,
	}, nil
}

func generateEC(params Params) (*Key, error) {
	private, err := ecdsa.GenerateKey(params.Curve.std(), rand.Reader)
	if err != nil {
		return nil, operationError("%v", err)
	}
	return ownEC(params, private)
}

// signECDSA writes r and s, each of the curve's size (Web Cryptography 23.7.1).
func (k *Key) signECDSA(params SignParams, data []byte, out Sink) error {
	var array [sha512.Size]byte
	r, s, err := ecdsa.Sign(rand.Reader, k.ecdsaPrivate, params.Hash.sum(data, &array))
	if err != nil {
		return operationError("signing failed: %v", err)
	}
	size := k.Curve.size()
	signature := out.ReturnBuffer(2 * size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return nil
}

func (k *Key) verifyECDSA(params SignParams, signature, data []byte) bool {
	size := k.Curve.size()
	if len(signature) != 2*size {
		return false
	}
	var array [sha512.Size]byte
	if table := k.p256Table(); table != nil {
		return verifyP256(table, params.Hash.sum(data, &array), signature)
	}
	r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
	return ecdsa.Verify(k.ecdsaPublic, params.Hash.sum(data, &array), r, s)
}

// p256Table returns the table of a key of P-256 that was used before, or nil.
func (k *Key) p256Table() *p256Table {
	if k.Curve != P256 {
		return nil
	}
	if table := k.table.Load(); table != nil {
		return table
	}
	if k.verifications.Add(1) < p256TableAfter {
		return nil
	}
	table, err := newP256Table(k.public)
	if err != nil { // the point was checked
		return nil
	}
	k.table.Store(table)
	return table
}

// agreementKey returns the private key for crypto/ecdh, which computes its public key each time that one is made.
func (k *Key) agreementKey() (*ecdh.PrivateKey, error) {
	if private := k.ecdhPrivate.Load(); private != nil {
		return private, nil
	}
	var private *ecdh.PrivateKey
	var err error
	if k.Algorithm == X25519 {
		private, err = ecdh.X25519().NewPrivateKey(k.secret)
	} else {
		private, err = k.ecdsaPrivate.ECDH()
	}
	if err == nil {
		k.ecdhPrivate.Store(private)
	}
	return private, err
}

func (k *Key) sharedECDH(public *Key) ([]byte, error) {
	ours, err := k.agreementKey()
	if err != nil {
		return nil, operationError("%v", err)
	}
	theirs, err := public.ecdsaPublic.ECDH()
	if err != nil {
		return nil, operationError("%v", err)
	}
	secret, err := ours.ECDH(theirs)
	if err != nil {
		return nil, operationError("%v", err)
	}
	return secret, nil
}
