package webcrypto

import (
	"crypto/subtle"
	"errors"

	"nano/hostcall"
)

// The functions that scripts call. First comes whether a loop waits, unless the function is always quick: if it
// would have to wait too long, the result is null, and the script calls again from elsewhere.
func init() {
	hostcall.Register("cryptoCopy", callCopy)
	hostcall.Register("cryptoDecrypt", callDecrypt)
	hostcall.Register("cryptoDeriveBits", callDeriveBits)
	hostcall.Register("cryptoDeriveKey", callDeriveKey)
	hostcall.Register("cryptoDescribe", callDescribe)
	hostcall.Register("cryptoDigest", callDigest)
	hostcall.Register("cryptoDigester", callDigester)
	hostcall.Register("cryptoDigesterFinish", callDigesterFinish)
	hostcall.Register("cryptoDigesterWrite", callDigesterWrite)
	hostcall.Register("cryptoEncrypt", callEncrypt)
	hostcall.Register("cryptoEqual", callEqual)
	hostcall.Register("cryptoExport", callExport)
	hostcall.Register("cryptoGenerate", callGenerate)
	hostcall.Register("cryptoImport", callImport)
	hostcall.Register("cryptoSign", callSign)
	hostcall.Register("cryptoUnwrap", callUnwrap)
	hostcall.Register("cryptoVerify", callVerify)
	hostcall.Register("cryptoWrap", callWrap)
}

// result is the error of a call, of which one is none: that it is to be made elsewhere.
func result(c *hostcall.Call, err error) error {
	if errors.Is(err, ErrSlow) {
		c.ReturnNull()
		return nil
	}
	return err
}

// resultKey returns a handle of a key.
func resultKey(c *hostcall.Call, key *Key, err error) error {
	if err == nil {
		c.ReturnObject(key, key.Size())
	}
	return result(c, err)
}

var errNoKey = operationError("there is no key")

func keyAt(c *hostcall.Call, i int) (*Key, error) {
	key, ok := hostcall.ObjectOf[*Key](c, i)
	if !ok {
		return nil, errNoKey
	}
	return key, nil
}

// hashAt and the like read numbers that scripts have checked; another one is taken for the first.
func hashAt(c *hostcall.Call, i int) Hash {
	if n := c.Int(i); 0 <= n && n < int64(hashCount) {
		return Hash(n)
	}
	return SHA1
}

func formatAt(c *hostcall.Call, i int) Format {
	if n := c.Int(i); 0 <= n && n <= int64(JWK) {
		return Format(n)
	}
	return Raw
}

// paramsAt reads algorithm, hash, curve, length.
func paramsAt(c *hostcall.Call, i int) Params {
	params := Params{Hash: hashAt(c, i+1), Curve: NoCurve, Length: int(c.Int(i + 3))}
	if n := c.Int(i); 0 <= n && n < int64(algorithmCount) {
		params.Algorithm = Algorithm(n)
	}
	if n := c.Int(i + 2); 0 <= n && n < int64(curveCount) {
		params.Curve = Curve(n)
	}
	return params
}

// callCopy (bytes): a copy.
func callCopy(c *hostcall.Call) error {
	c.ReturnBytes(c.Bytes(0))
	return nil
}

// callEqual (a, b): whether they hold the same, or null if one is longer.
func callEqual(c *hostcall.Call) error {
	a, b := c.Bytes(0), c.Bytes(1)
	if len(a) != len(b) {
		c.ReturnNull()
		return nil
	}
	c.ReturnBool(subtle.ConstantTimeCompare(a, b) == 1)
	return nil
}

// callDigest (onLoop, hash, data).
func callDigest(c *hostcall.Call) error {
	return result(c, Digest(hashAt(c, 1), c.Bytes(2), c.Bool(0), c))
}

// callDigester (hash): the handle of a Digester.
func callDigester(c *hostcall.Call) error {
	digester := NewDigester(hashAt(c, 0))
	c.ReturnObject(digester, digester.Size())
	return nil
}

// callDigesterWrite (onLoop, digester, piece): how many bytes that is.
func callDigesterWrite(c *hostcall.Call) error {
	digester, ok := hostcall.ObjectOf[*Digester](c, 1)
	if !ok {
		return errNoKey
	}
	piece := c.Bytes(2)
	if err := digester.Write(piece, c.Bool(0)); err != nil {
		return result(c, err)
	}
	c.ReturnInt(int64(len(piece)))
	return nil
}

// callDigesterFinish (digester).
func callDigesterFinish(c *hostcall.Call) error {
	digester, ok := hostcall.ObjectOf[*Digester](c, 0)
	if !ok {
		return errNoKey
	}
	digester.Finish(c)
	return nil
}

// callSign (onLoop, key, data, hash, saltLength, context).
func callSign(c *hostcall.Call) error {
	key, err := keyAt(c, 1)
	if err != nil {
		return err
	}
	return result(c, key.Sign(signParamsAt(c, 3), c.Bytes(2), c.Bool(0), c))
}

// callVerify (onLoop, key, signature, data, hash, saltLength, context): whether it is good.
func callVerify(c *hostcall.Call) error {
	key, err := keyAt(c, 1)
	if err != nil {
		return err
	}
	good, err := key.Verify(signParamsAt(c, 4), c.Bytes(2), c.Bytes(3), c.Bool(0))
	if err != nil {
		return result(c, err)
	}
	c.ReturnBool(good)
	return nil
}

func signParamsAt(c *hostcall.Call, i int) SignParams {
	return SignParams{Hash: hashAt(c, i), SaltLength: int(c.Int(i + 1)), Context: c.Bytes(i + 2)}
}

// callEncrypt (onLoop, key, data, iv, additional, length).
func callEncrypt(c *hostcall.Call) error {
	key, err := keyAt(c, 1)
	if err != nil {
		return err
	}
	return result(c, key.Encrypt(cipherParamsAt(c, 3), c.Bytes(2), c.Bool(0), c))
}

// callDecrypt (onLoop, key, data, iv, additional, length).
func callDecrypt(c *hostcall.Call) error {
	key, err := keyAt(c, 1)
	if err != nil {
		return err
	}
	return result(c, key.Decrypt(cipherParamsAt(c, 3), c.Bytes(2), c.Bool(0), c))
}

func cipherParamsAt(c *hostcall.Call, i int) CipherParams {
	return CipherParams{IV: c.Bytes(i), Additional: c.Bytes(i + 1), Length: int(c.Int(i + 2))}
}

// callImport (onLoop, format, data, algorithm, hash, curve, length, extractable, usages): a key.
func callImport(c *hostcall.Call) error {
	key, err := Import(formatAt(c, 1), paramsAt(c, 3), c.Bytes(2), c.Bool(7), Usages(c.Int(8)), c.Bool(0))
	return resultKey(c, key, err)
}

// callExport (format, key): bytes, or the JSON of a JWK.
func callExport(c *hostcall.Call) error {
	key, err := keyAt(c, 1)
	if err != nil {
		return err
	}
	format := formatAt(c, 0)
	exported, err := Export(format, key)
	if err != nil {
		return err
	}
	defer clear(exported)
	if format == JWK {
		c.ReturnText(string(exported))
	} else {
		c.ReturnBytes(exported)
	}
	return nil
}

// callDescribe (key): its kind, the length in bits of the modulus or the secret key, and RSA's public exponent or
// null.
func callDescribe(c *hostcall.Call) error {
	key, err := keyAt(c, 0)
	if err != nil {
		return err
	}
	c.ReturnInt(int64(key.Kind))
	c.ReturnInt(int64(key.Length))
	if key.Exponent == 0 {
		c.ReturnNull()
	} else {
		c.ReturnBytes(key.exponentBytes())
	}
	return nil
}

// callGenerate (onLoop, exponent, algorithm, hash, curve, length, extractable, usages): a secret key, or the
// private key, the public key, and the usages of each.
func callGenerate(c *hostcall.Call) error {
	key, public, err := Generate(c, paramsAt(c, 2), c.Bytes(1), c.Bool(6), Usages(c.Int(7)), c.Bool(0))
	if err != nil || public == nil {
		return resultKey(c, key, err)
	}
	c.ReturnObject(key, key.Size())
	c.ReturnObject(public, public.Size())
	c.ReturnInt(int64(key.Usages))
	c.ReturnInt(int64(public.Usages))
	return nil
}

// callDeriveBits (onLoop, key, length, public, hash, salt, info, iterations).
func callDeriveBits(c *hostcall.Call) error {
	key, err := keyAt(c, 1)
	if err != nil {
		return err
	}
	return result(c, key.DeriveBits(c, deriveParamsAt(c, 3), int(c.Int(2)), c.Bool(0), c))
}

// callDeriveKey (onLoop, key, length, public, hash, salt, info, iterations, algorithm, hash, curve, length,
// extractable, usages): a key.
func callDeriveKey(c *hostcall.Call) error {
	key, err := keyAt(c, 1)
	if err != nil {
		return err
	}
	derived, err := key.DeriveKey(c, deriveParamsAt(c, 3), int(c.Int(2)), paramsAt(c, 8), c.Bool(12),
		Usages(c.Int(13)), c.Bool(0))
	return resultKey(c, derived, err)
}

func deriveParamsAt(c *hostcall.Call, i int) DeriveParams {
	public, _ := hostcall.ObjectOf[*Key](c, i)
	return DeriveParams{
		Public: public, Hash: hashAt(c, i+1), Salt: c.Bytes(i + 2), Info: c.Bytes(i + 3), Iterations: int(c.Int(i + 4)),
	}
}

// callWrap (onLoop, wrapping key, iv, additional, length, format, key).
func callWrap(c *hostcall.Call) error {
	wrapping, err := keyAt(c, 1)
	if err != nil {
		return err
	}
	key, err := keyAt(c, 6)
	if err != nil {
		return err
	}
	return result(c, wrapping.Wrap(formatAt(c, 5), key, cipherParamsAt(c, 2), c.Bool(0), c))
}

// callUnwrap (onLoop, unwrapping key, wrapped, iv, additional, length, format, algorithm, hash, curve, length,
// extractable, usages): a key.
func callUnwrap(c *hostcall.Call) error {
	wrapping, err := keyAt(c, 1)
	if err != nil {
		return err
	}
	key, err := wrapping.Unwrap(formatAt(c, 6), c.Bytes(2), cipherParamsAt(c, 3), paramsAt(c, 7), c.Bool(11),
		Usages(c.Int(12)), c.Bool(0))
	return resultKey(c, key, err)
}
