package webcrypto

import (
	"encoding/asn1"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	tags "golang.org/x/crypto/cryptobyte/asn1"
)

// Keys in DER: SubjectPublicKeyInfo (RFC 5280 4.1) and PrivateKeyInfo (RFC 5208; its attributes and the public
// key of RFC 5958 are skipped), with the keys of RFC 8017 (RSA), 5480 and 5915 (EC) and 8410 (Ed25519 ...)
// inside. Every length and integer has to be written the one way that DER allows, and nothing may follow.

var (
	oidRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC  = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
)

var errDER = dataError("the key is not well formed")

// ---- Reading ----

// parseSPKI imports a public key.
func parseSPKI(params Params, der []byte) (*Key, error) {
	input := cryptobyte.String(der)
	var info, algorithm cryptobyte.String
	var bits []byte
	if !input.ReadASN1(&info, tags.SEQUENCE) || !input.Empty() || !info.ReadASN1(&algorithm, tags.SEQUENCE) ||
		!info.ReadASN1BitStringAsBytes(&bits) || !info.Empty() {
		return nil, errDER
	}
	if err := checkAlgorithm(params, algorithm); err != nil {
		return nil, err
	}
	switch {
	case params.Algorithm.isEC():
		return newECPublic(params, bits)
	case params.Algorithm.isOKP():
		return newOKPPublic(params, bits)
	}
	key := cryptobyte.String(bits)
	var numbers cryptobyte.String
	n, e := new(big.Int), new(big.Int)
	if !key.ReadASN1(&numbers, tags.SEQUENCE) || !key.Empty() ||
		!numbers.ReadASN1Integer(n) || !numbers.ReadASN1Integer(e) || !numbers.Empty() {
		return nil, errDER
	}
	return newRSAPublic(params, n, e)
}

// checkAlgorithm checks that an AlgorithmIdentifier is the one of keys of that algorithm, parameters included.
func checkAlgorithm(params Params, identifier cryptobyte.String) error {
	var oid asn1.ObjectIdentifier
	if !identifier.ReadASN1ObjectIdentifier(&oid) {
		return errDER
	}
	var expected asn1.ObjectIdentifier
	switch {
	case params.Algorithm.isRSA():
		expected = oidRSA
		var null cryptobyte.String
		if identifier.PeekASN1Tag(tags.NULL) && (!identifier.ReadASN1(&null, tags.NULL) || !null.Empty()) {
			return errDER
		}
	case params.Algorithm.isEC():
		expected = oidEC
		if !oid.Equal(expected) {
			break
		}
		var curve asn1.ObjectIdentifier
		if !identifier.ReadASN1ObjectIdentifier(&curve) {
			return dataError("the key names no curve")
		}
		if params.Curve >= curveCount || !curve.Equal(curveOIDs[params.Curve]) {
			return dataError("the key is of another curve")
		}
	default:
		expected = okpOIDs[params.Algorithm]
	}
	if !oid.Equal(expected) {
		return dataError("the key is of another algorithm than %s", params.Algorithm)
	}
	if !identifier.Empty() {
		return dataError("the key has parameters that keys of %s do not have", params.Algorithm)
	}
	return nil
}

// parsePKCS8 imports a private key.
func parsePKCS8(params Params, der []byte) (*Key, error) {
	input := cryptobyte.String(der)
	var info, algorithm, octets cryptobyte.String
	var version int
	if !input.ReadASN1(&info, tags.SEQUENCE) || !input.Empty() || !info.ReadASN1Integer(&version) ||
		version < 0 || version > 1 || !info.ReadASN1(&algorithm, tags.SEQUENCE) ||
		!info.ReadASN1(&octets, tags.OCTET_STRING) ||
		!info.SkipOptionalASN1(tags.Tag(0).ContextSpecific().Constructed()) {
		return nil, errDER
	}
	if version == 1 && !info.SkipOptionalASN1(tags.Tag(1).ContextSpecific()) || !info.Empty() {
		return nil, errDER
	}
	if err := checkAlgorithm(params, algorithm); err != nil {
		return nil, err
	}
	switch {
	case params.Algorithm.isEC():
		return parseECPrivate(params, octets)
	case params.Algorithm.isOKP():
		var private cryptobyte.String
		if !octets.ReadASN1(&private, tags.OCTET_STRING) || !octets.Empty() {
			return nil, errDER
		}
		return newOKPPrivate(params, private, nil)
	}
	return parseRSAPrivate(params, octets)
}

func parseRSAPrivate(params Params, input cryptobyte.String) (*Key, error) {
	var numbers cryptobyte.String
	var version int
	if !input.ReadASN1(&numbers, tags.SEQUENCE) || !input.Empty() || !numbers.ReadASN1Integer(&version) {
		return nil, errDER
	}
	if version != 0 {
		return nil, dataError("RSA keys of more than two primes are not supported")
	}
	parts := newRSAParts()
	for _, part := range parts.list() {
		if !numbers.ReadASN1Integer(part) {
			return nil, errDER
		}
	}
	if !numbers.Empty() {
		return nil, errDER
	}
	return newRSAPrivate(params, parts)
}

func newRSAParts() rsaParts {
	return rsaParts{
		new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int),
	}
}

// list returns the parts in the order in which they are written down.
func (p *rsaParts) list() []*big.Int { return []*big.Int{p.n, p.e, p.d, p.p, p.q, p.dp, p.dq, p.qi} }

// parseECPrivate reads an ECPrivateKey, whose own curve, if it has one, must be the same.
func parseECPrivate(params Params, input cryptobyte.String) (*Key, error) {
	var fields, scalar, parameters, public cryptobyte.String
	var version int
	var hasParameters, hasPublic bool
	if !input.ReadASN1(&fields, tags.SEQUENCE) || !input.Empty() || !fields.ReadASN1Integer(&version) ||
		version != 1 || !fields.ReadASN1(&scalar, tags.OCTET_STRING) ||
		!fields.ReadOptionalASN1(&parameters, &hasParameters, tags.Tag(0).ContextSpecific().Constructed()) ||
		!fields.ReadOptionalASN1(&public, &hasPublic, tags.Tag(1).ContextSpecific().Constructed()) ||
		!fields.Empty() {
		return nil, errDER
	}
	if hasParameters {
		var curve asn1.ObjectIdentifier
		if !parameters.ReadASN1ObjectIdentifier(&curve) || !parameters.Empty() || params.Curve >= curveCount ||
			!curve.Equal(curveOIDs[params.Curve]) {
			return nil, dataError("the key is of another curve")
		}
	}
	var point []byte
	if hasPublic && (!public.ReadASN1BitStringAsBytes(&point) || !public.Empty()) {
		return nil, errDER
	}
	return newECPrivate(params, scalar, point)
}

// ---- Writing ----

// marshalSPKI exports a public key.
func marshalSPKI(k *Key) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
		k.addAlgorithm(b)
		b.AddASN1(tags.BIT_STRING, func(b *cryptobyte.Builder) {
			b.AddUint8(0) // unused bits
			if !k.Algorithm.isRSA() {
				b.AddBytes(k.public)
				return
			}
			b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1BigInt(k.rsaPublic.N)
				b.AddASN1Uint64(k.Exponent)
			})
		})
	})
	return bytesOf(&b)
}

func (k *Key) addAlgorithm(b *cryptobyte.Builder) {
	b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
		switch {
		case k.Algorithm.isRSA():
			b.AddASN1ObjectIdentifier(oidRSA)
			b.AddASN1NULL()
		case k.Algorithm.isEC():
			b.AddASN1ObjectIdentifier(oidEC)
			b.AddASN1ObjectIdentifier(curveOIDs[k.Curve])
		default:
			b.AddASN1ObjectIdentifier(okpOIDs[k.Algorithm])
		}
	})
}

// marshalPKCS8 exports a private key.
func marshalPKCS8(k *Key) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(tags.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		k.addAlgorithm(b)
		b.AddASN1(tags.OCTET_STRING, func(b *cryptobyte.Builder) {
			switch {
			case k.Algorithm.isRSA():
				b.AddASN1(tags.SEQUENCE, k.addRSAPrivate)
			case k.Algorithm.isEC():
				b.AddASN1(tags.SEQUENCE, k.addECPrivate)
			default:
				b.AddASN1OctetString(k.secret)
			}
		})
	})
	return bytesOf(&b)
}

func (k *Key) addRSAPrivate(b *cryptobyte.Builder) {
	b.AddASN1Int64(0)
	parts := k.rsaParts()
	for _, part := range parts.list() {
		b.AddASN1BigInt(part)
	}
}

// rsaParts returns the numbers of an RSA private key; they are the key's own.
func (k *Key) rsaParts() rsaParts {
	private := k.rsaPrivate
	return rsaParts{
		n: private.N, e: new(big.Int).SetUint64(k.Exponent), d: private.D, p: private.Primes[0], q: private.Primes[1],
		dp: private.Precomputed.Dp, dq: private.Precomputed.Dq, qi: private.Precomputed.Qinv,
	}
}

func (k *Key) addECPrivate(b *cryptobyte.Builder) {
	b.AddASN1Int64(1)
	b.AddASN1OctetString(k.secret)
	b.AddASN1(tags.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1BitString(k.public)
	})
}

func bytesOf(b *cryptobyte.Builder) ([]byte, error) {
	der, err := b.Bytes()
	if err != nil {
		return nil, operationError("%v", err)
	}
	return der, nil
}
