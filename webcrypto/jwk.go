package webcrypto

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
)

// jsonWebKey is a JSON Web Key (RFC 7517) with the members that the specification knows; nil stands for one that
// is absent.
type jsonWebKey struct {
	alg, crv, d, dp, dq, e, k, kty, n, p, q, qi, use, x, y *string

	ext    *bool
	keyOps *[]string
	hasOth bool
}

// texts returns the members that are strings, by name.
func (j *jsonWebKey) texts() map[string]**string {
	return map[string]**string{
		"alg": &j.alg, "crv": &j.crv, "d": &j.d, "dp": &j.dp, "dq": &j.dq, "e": &j.e, "k": &j.k, "kty": &j.kty,
		"n": &j.n, "p": &j.p, "q": &j.q, "qi": &j.qi, "use": &j.use, "x": &j.x, "y": &j.y,
	}
}

// parseJWK reads a key ("parse a JWK" of the specification). As Web IDL has it, a member that should be a string
// and is a number or so counts as what it is written as, and every value is true or false.
func parseJWK(text []byte) (*jsonWebKey, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), &members); err != nil || members == nil {
		return nil, dataError("the key is not a JSON object")
	}
	key := &jsonWebKey{}
	for name, place := range key.texts() {
		if value, ok := members[name]; ok {
			text, err := jsonText(value)
			if err != nil {
				return nil, dataError("the member %s of the key is not a string", name)
			}
			*place = &text
		}
	}
	if value, ok := members["ext"]; ok {
		ext := !(string(value) == "false" || string(value) == "null" || string(value) == `""` || isZero(value))
		key.ext = &ext
	}
	if value, ok := members["key_ops"]; ok {
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil || list == nil {
			return nil, dataError("the member key_ops of the key is not an array")
		}
		operations := make([]string, len(list))
		for i, item := range list {
			text, err := jsonText(item)
			if err != nil {
				return nil, dataError("the member key_ops of the key does not hold strings")
			}
			operations[i] = text
		}
		key.keyOps = &operations
	}
	_, key.hasOth = members["oth"]
	if key.kty == nil {
		return nil, dataError("the key has no member kty")
	}
	return key, nil
}

// jsonText returns what a JSON value that is no object or array is as a string.
func jsonText(value json.RawMessage) (text string, err error) {
	switch value[0] {
	case '"':
		err = json.Unmarshal(value, &text)
		return text, err
	case '{', '[':
		return "", errDER
	}
	return string(value), nil
}

func isZero(value json.RawMessage) bool {
	var number float64
	return json.Unmarshal(value, &number) == nil && number == 0
}

// marshal writes the key, members in the order in which scripts get them: that of their names.
func (j *jsonWebKey) marshal() []byte {
	var b bytes.Buffer
	separator := byte('{')
	member := func(name string) {
		b.WriteByte(separator)
		separator = ','
		b.WriteString(`"` + name + `":`)
	}
	text := func(name string, value *string) {
		if value != nil { // Base64 and names of algorithms: nothing to escape
			member(name)
			b.WriteString(`"` + *value + `"`)
		}
	}
	text("alg", j.alg)
	text("crv", j.crv)
	text("d", j.d)
	text("dp", j.dp)
	text("dq", j.dq)
	text("e", j.e)
	member("ext")
	if *j.ext {
		b.WriteString("true")
	} else {
		b.WriteString("false")
	}
	text("k", j.k)
	member("key_ops")
	b.WriteByte('[')
	for i, operation := range *j.keyOps {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + operation + `"`)
	}
	b.WriteByte(']')
	text("kty", j.kty)
	text("n", j.n)
	text("p", j.p)
	text("q", j.q)
	text("qi", j.qi)
	text("x", j.x)
	text("y", j.y)
	b.WriteByte('}')
	return b.Bytes()
}

// ---- Base64url without padding (RFC 7515 2) ----

func decodeMember(name string, text *string) ([]byte, error) {
	if text == nil {
		return nil, dataError("the key has no member %s", name)
	}
	decoded, err := base64.RawURLEncoding.DecodeString(*text)
	if err != nil || strings.ContainsAny(*text, "\r\n") {
		return nil, dataError("the member %s of the key is not base64url", name)
	}
	return decoded, nil
}

func decodeNumber(name string, text *string) (*big.Int, error) {
	decoded, err := decodeMember(name, text)
	if err != nil {
		return nil, err
	}
	if len(decoded) == 0 {
		return nil, dataError("the member %s of the key is empty", name)
	}
	return new(big.Int).SetBytes(decoded), nil
}

func encodeMember(value []byte) *string {
	text := base64.RawURLEncoding.EncodeToString(value)
	return &text
}

func encodeNumber(n *big.Int) *string { return encodeMember(n.Bytes()) }

// ---- Import ----

// check is what all algorithms ask: the type of the key, what it is for, and whether it may be exported.
func (j *jsonWebKey) check(kty, use string, extractable bool, usages Usages) error {
	if usages != 0 && j.use != nil && *j.use != use {
		return dataError("the member use of the key is not %q", use)
	}
	if j.keyOps != nil {
		var given Usages
		seen := make(map[string]bool, len(*j.keyOps))
		for _, operation := range *j.keyOps {
			if seen[operation] {
				return dataError("the member key_ops of the key has %q twice", operation)
			}
			seen[operation] = true
			given |= usageOf(operation)
		}
		if !given.contains(usages) {
			return dataError("the member key_ops of the key does not have all the usages")
		}
	}
	if j.ext != nil && !*j.ext && extractable {
		return dataError("the key is not extractable")
	}
	return nil
}

func (j *jsonWebKey) checkType(kty string) error {
	if *j.kty != kty {
		return dataError("the member kty of the key is not %q", kty)
	}
	return nil
}

// kind says what importing the key gives.
func (j *jsonWebKey) kind(algorithm Algorithm) Kind {
	switch {
	case algorithm.secretUsages() != 0:
		return Secret
	case j.d != nil:
		return Private
	}
	return Public
}

// use is the value of the member of that name for keys of the algorithm.
func (a Algorithm) use() string {
	switch a {
	case RSASSA, RSAPSS, ECDSA, Ed25519, Ed448, HMAC:
		return "sig"
	}
	return "enc"
}

// importJWK imports a key; its usages are checked.
func importJWK(params Params, jwk *jsonWebKey, extractable bool, usages Usages) (*Key, error) {
	switch algorithm := params.Algorithm; {
	case algorithm.isRSA():
		return importRSA(params, jwk, extractable, usages)
	case algorithm.isEC():
		return importEC(params, jwk, extractable, usages)
	case algorithm.isOKP():
		return importOKP(params, jwk, extractable, usages)
	}
	return importOct(params, jwk, extractable, usages)
}

func importOct(params Params, jwk *jsonWebKey, extractable bool, usages Usages) (*Key, error) {
	if err := jwk.checkType("oct"); err != nil {
		return nil, err
	}
	secret, err := decodeMember("k", jwk.k)
	if err != nil {
		return nil, err
	}
	if params.Algorithm.isAES() && len(secret) != 16 && len(secret) != 24 && len(secret) != 32 {
		return nil, dataError("an AES key has 128, 192 or 256 bits, not %d", 8*len(secret))
	}
	if expected := octAlgorithm(params, len(secret)); jwk.alg != nil && *jwk.alg != expected {
		return nil, dataError("the member alg of the key is not %q", expected)
	}
	if err := jwk.check("oct", params.Algorithm.use(), extractable, usages); err != nil {
		return nil, err
	}
	if params.Algorithm == HMAC {
		return importHMAC(params, secret)
	}
	return newAES(params, secret)
}

// octAlgorithm is the JSON Web Algorithm of a secret key of size bytes.
func octAlgorithm(params Params, size int) string {
	if params.Algorithm == HMAC {
		return [...]string{"HS1", "HS256", "HS384", "HS512"}[params.Hash]
	}
	bits := map[int]string{16: "A128", 24: "A192", 32: "A256"}[size]
	return bits + strings.TrimPrefix(params.Algorithm.String(), "AES-")
}

func importRSA(params Params, jwk *jsonWebKey, extractable bool, usages Usages) (*Key, error) {
	if err := jwk.checkType("RSA"); err != nil {
		return nil, err
	}
	if err := jwk.check("RSA", params.Algorithm.use(), extractable, usages); err != nil {
		return nil, err
	}
	if expected := rsaHashNames[params.Algorithm][params.Hash]; jwk.alg != nil && *jwk.alg != expected {
		return nil, dataError("the member alg of the key is not %q", expected)
	}
	if jwk.d != nil && jwk.hasOth {
		return nil, notSupported("RSA keys of more than two primes are not supported")
	}
	parts := newRSAParts()
	texts := []*string{jwk.n, jwk.e, jwk.d, jwk.p, jwk.q, jwk.dp, jwk.dq, jwk.qi}
	list := parts.list()
	if jwk.d == nil {
		list = list[:2]
	}
	for i, part := range list {
		number, err := decodeNumber([...]string{"n", "e", "d", "p", "q", "dp", "dq", "qi"}[i], texts[i])
		if err != nil {
			return nil, err
		}
		part.Set(number)
	}
	if jwk.d == nil {
		return newRSAPublic(params, parts.n, parts.e)
	}
	return newRSAPrivate(params, parts)
}

func importEC(params Params, jwk *jsonWebKey, extractable bool, usages Usages) (*Key, error) {
	if err := jwk.checkType("EC"); err != nil {
		return nil, err
	}
	if err := jwk.check("EC", params.Algorithm.use(), extractable, usages); err != nil {
		return nil, err
	}
	if params.Curve >= curveCount || jwk.crv == nil || *jwk.crv != curveNames[params.Curve] {
		return nil, dataError("the member crv of the key is not that of the algorithm")
	}
	if expected := curveAlgorithms[params.Curve]; params.Algorithm == ECDSA && jwk.alg != nil && *jwk.alg != expected {
		return nil, dataError("the member alg of the key is not %q", expected)
	}
	x, err := decodeCoordinate("x", jwk.x, params.Curve)
	if err != nil {
		return nil, err
	}
	y, err := decodeCoordinate("y", jwk.y, params.Curve)
	if err != nil {
		return nil, err
	}
	if jwk.d == nil {
		return newECPublic(params, joinPoint(x, y))
	}
	d, err := decodeCoordinate("d", jwk.d, params.Curve)
	if err != nil {
		return nil, err
	}
	return newECPrivate(params, d, joinPoint(x, y))
}

// decodeCoordinate reads a number whose length is that of the curve (RFC 7518 6.2).
func decodeCoordinate(name string, text *string, curve Curve) ([]byte, error) {
	decoded, err := decodeMember(name, text)
	if err == nil && len(decoded) != curve.size() {
		return nil, dataError("the member %s of the key has %d bytes, not %d", name, len(decoded), curve.size())
	}
	return decoded, err
}

func importOKP(params Params, jwk *jsonWebKey, extractable bool, usages Usages) (*Key, error) {
	if err := jwk.checkType("OKP"); err != nil {
		return nil, err
	}
	name := params.Algorithm.String()
	if jwk.crv == nil || *jwk.crv != name {
		return nil, dataError("the member crv of the key is not %q", name)
	}
	signs := params.Algorithm == Ed25519 || params.Algorithm == Ed448
	if signs && jwk.alg != nil && *jwk.alg != name && *jwk.alg != "EdDSA" {
		return nil, dataError("the member alg of the key is not %q", name)
	}
	if err := jwk.check("OKP", params.Algorithm.use(), extractable, usages); err != nil {
		return nil, err
	}
	x, err := decodeMember("x", jwk.x)
	if err != nil {
		return nil, err
	}
	if jwk.d == nil {
		return newOKPPublic(params, x)
	}
	d, err := decodeMember("d", jwk.d)
	if err != nil {
		return nil, err
	}
	return newOKPPrivate(params, d, x)
}

// ---- Export ----

// toJWK exports a key.
func toJWK(k *Key) *jsonWebKey {
	jwk := &jsonWebKey{ext: &k.Extractable, keyOps: &[]string{}}
	for i, name := range usageNames {
		if k.Usages.contains(1 << i) {
			*jwk.keyOps = append(*jwk.keyOps, name)
		}
	}
	set := func(place **string, value string) { *place = &value }
	switch algorithm := k.Algorithm; {
	case algorithm.isRSA():
		set(&jwk.kty, "RSA")
		set(&jwk.alg, rsaHashNames[algorithm][k.Hash])
		jwk.n, jwk.e = encodeNumber(k.rsaPublic.N), encodeNumber(new(big.Int).SetUint64(k.Exponent))
		if k.Kind == Private {
			parts := k.rsaParts()
			jwk.d, jwk.p, jwk.q = encodeNumber(parts.d), encodeNumber(parts.p), encodeNumber(parts.q)
			jwk.dp, jwk.dq, jwk.qi = encodeNumber(parts.dp), encodeNumber(parts.dq), encodeNumber(parts.qi)
		}
	case algorithm.isEC():
		set(&jwk.kty, "EC")
		set(&jwk.crv, curveNames[k.Curve])
		size := k.Curve.size()
		jwk.x, jwk.y = encodeMember(k.public[1:][:size]), encodeMember(k.public[1+size:])
	case algorithm.isOKP():
		set(&jwk.kty, "OKP")
		set(&jwk.crv, algorithm.String())
		if algorithm == Ed25519 || algorithm == Ed448 {
			set(&jwk.alg, algorithm.String())
		}
		jwk.x = encodeMember(k.public)
	default:
		set(&jwk.kty, "oct")
		set(&jwk.alg, octAlgorithm(k.Params, len(k.secret)))
		jwk.k = encodeMember(k.secret)
	}
	if k.Kind == Private && !k.Algorithm.isRSA() {
		jwk.d = encodeMember(k.secret)
	}
	return jwk
}
