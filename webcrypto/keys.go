package webcrypto

import (
	"bytes"
	"crypto/rand"
)

// Import makes a key of data in a format (Web Cryptography 14.3.9, and "Import Key" of each algorithm). JWK data
// is JSON. onLoop: the caller is a loop; the error may be ErrSlow. The caller owns the key.
func Import(format Format, params Params, data []byte, extractable bool, usages Usages, onLoop bool) (*Key, error) {
	key, err := importKey(format, params, data, extractable, usages, onLoop)
	if err != nil {
		return nil, err
	}
	if key.Kind != Public && usages == 0 {
		key.Close()
		return nil, syntaxError("a %s key must have usages", key.Kind)
	}
	key.Extractable, key.Usages = extractable, usages
	return key, nil
}

func importKey(format Format, params Params, data []byte, extractable bool, usages Usages, onLoop bool) (*Key, error) {
	algorithm := params.Algorithm
	isSlow := onLoop && importIsSlow(format, params, len(data))
	if err := checkFormat(format, algorithm); err != nil {
		return nil, err
	}
	switch format {
	case SPKI:
		if err := checkUsages(usages, algorithm.publicUsages(), algorithm, Public); err != nil {
			return nil, err
		}
		if isSlow {
			return nil, ErrSlow
		}
		return parseSPKI(params, data)
	case PKCS8:
		if err := checkUsages(usages, algorithm.privateUsages(), algorithm, Private); err != nil {
			return nil, err
		}
		if isSlow {
			return nil, ErrSlow
		}
		return parsePKCS8(params, data)
	case JWK:
		if onLoop && len(data) > importBytesOnLoopMax {
			return nil, ErrSlow // what comes before it in the other formats needs the parsed key
		}
		jwk, err := parseJWK(data)
		if err != nil {
			return nil, err
		}
		kind := jwk.kind(algorithm)
		allowed := [...]Usages{algorithm.publicUsages(), algorithm.privateUsages(), algorithm.secretUsages()}[kind]
		if err := checkUsages(usages, allowed, algorithm, kind); err != nil {
			return nil, err
		}
		if isSlow {
			return nil, ErrSlow
		}
		return importJWK(params, jwk, extractable, usages)
	}
	if isSlow {
		return nil, ErrSlow
	}
	return importRaw(params, data, extractable, usages)
}

// checkFormat is the NotSupportedError of a format in which keys of the algorithm are not imported.
func checkFormat(format Format, algorithm Algorithm) error {
	switch format {
	case Raw:
		if !algorithm.isRSA() {
			return nil
		}
	case SPKI, PKCS8:
		if algorithm.secretUsages() == 0 {
			return nil
		}
	default:
		if algorithm != HKDF && algorithm != PBKDF2 {
			return nil
		}
	}
	return notSupported("%s keys do not have this format", algorithm)
}

func importRaw(params Params, data []byte, extractable bool, usages Usages) (*Key, error) {
	algorithm := params.Algorithm
	if algorithm.isEC() && params.Curve >= curveCount {
		return nil, dataError("there is no such curve")
	}
	if algorithm.secretUsages() == 0 {
		if err := checkUsages(usages, algorithm.publicUsages(), algorithm, Public); err != nil {
			return nil, err
		}
		if algorithm.isEC() {
			return newECPublic(params, data)
		}
		return newOKPPublic(params, data)
	}
	if err := checkUsages(usages, algorithm.secretUsages(), algorithm, Secret); err != nil {
		return nil, err
	}
	switch {
	case algorithm == HMAC:
		return importHMAC(params, bytes.Clone(data))
	case algorithm.isAES():
		return newAES(params, bytes.Clone(data))
	}
	if extractable {
		return nil, syntaxError("%s keys cannot be extractable", algorithm)
	}
	return &Key{Params: params, Kind: Secret, secret: bytes.Clone(data)}, nil
}

// ---- Generate (14.3.6) ----

// Generate makes a secret key, or the two of a pair. exponent is RSA's, big-endian. onLoop: the caller is a loop;
// the error may be ErrSlow. It ends early if the job is cancelled. The caller owns the keys.
func Generate(job Job, params Params, exponent []byte, extractable bool, usages Usages, onLoop bool,
) (key, public *Key, err error) {
	algorithm := params.Algorithm
	private := usages & algorithm.privateUsages()
	if algorithm.secretUsages() != 0 {
		private = usages
	}
	allowed := algorithm.publicUsages() | algorithm.privateUsages() | algorithm.secretUsages()
	if usages&^allowed != 0 {
		return nil, nil, syntaxError("%s keys cannot be used for all of these usages", algorithm)
	}
	if err := checkGeneration(&params, exponent); err != nil {
		return nil, nil, err
	}
	if private == 0 {
		return nil, nil, syntaxError("the key must have usages")
	}
	if onLoop && generationIsSlow(params) {
		return nil, nil, ErrSlow
	}
	if key, err = generate(job, params, exponent); err != nil {
		return nil, nil, err
	}
	key.Extractable, key.Usages = extractable, private
	if key.Kind == Private {
		public = key.publicHalf()
		public.Usages = usages & algorithm.publicUsages()
	}
	return key, public, nil
}

// checkGeneration checks params and fills in the length of an HMAC key.
func checkGeneration(params *Params, exponent []byte) error {
	switch algorithm := params.Algorithm; {
	case algorithm.isRSA():
		return checkRSAGeneration(*params, exponent)
	case algorithm.isEC():
		if params.Curve >= curveCount {
			return notSupported("there is no such curve")
		}
	case algorithm.isAES():
		if params.Length != 128 && params.Length != 192 && params.Length != 256 {
			return operationError("an AES key has 128, 192 or 256 bits, not %d", params.Length)
		}
	case algorithm == HMAC:
		if params.Length == NoLength {
			params.Length = params.Hash.blockBits()
		}
		if params.Length <= 0 || params.Length > secretBitsMax {
			return operationError("an HMAC key has 1 to %d bits, not %d", secretBitsMax, params.Length)
		}
	}
	return nil
}

// secretBitsMax bounds the memory that one call makes.
const secretBitsMax = 1 << 27

func generate(job Job, params Params, exponent []byte) (*Key, error) {
	switch algorithm := params.Algorithm; {
	case algorithm.isRSA():
		private, err := generateRSA(job, params, exponent)
		if err != nil {
			return nil, err
		}
		return ownRSA(params, private), nil
	case algorithm.isEC():
		return generateEC(params)
	case algorithm.isOKP():
		return generateOKP(params)
	}
	secret := make([]byte, (params.Length+7)/8)
	rand.Read(secret)
	if params.Algorithm == HMAC {
		return newHMAC(params, secret), nil
	}
	return newAES(params, secret)
}

// publicHalf returns the public key of a private one.
func (k *Key) publicHalf() *Key {
	public := &Key{
		Params: k.Params, Kind: Public, Extractable: true, Exponent: k.Exponent, public: k.public, ecdsaPublic: k.ecdsaPublic,
	}
	if k.rsaPublic != nil {
		copied := *k.rsaPublic // or the private key would be kept with it
		public.rsaPublic = &copied
	}
	if k.ecdsaPublic != nil {
		copied := *k.ecdsaPublic
		public.ecdsaPublic = &copied
	}
	return public
}

// ---- Export (14.3.10) ----

// Export returns a key in a format.
func Export(format Format, key *Key) ([]byte, error) {
	if key.Algorithm == HKDF || key.Algorithm == PBKDF2 {
		return nil, notSupported("%s keys cannot be exported", key.Algorithm)
	}
	if !key.Extractable {
		return nil, invalidAccess("the key is not extractable")
	}
	if err := checkFormat(format, key.Algorithm); err != nil {
		return nil, err
	}
	switch format {
	case SPKI:
		if key.Kind != Public {
			return nil, invalidAccess("the key is not a public key")
		}
		return marshalSPKI(key)
	case PKCS8:
		if key.Kind != Private {
			return nil, invalidAccess("the key is not a private key")
		}
		return marshalPKCS8(key)
	case JWK:
		return toJWK(key).marshal(), nil
	}
	if key.Kind == Private {
		return nil, invalidAccess("the key is not a public key")
	}
	if key.Kind == Public {
		return bytes.Clone(key.public), nil
	}
	return bytes.Clone(key.secret), nil
}
