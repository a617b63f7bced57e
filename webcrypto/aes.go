package webcrypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// CipherParams are the parameters of encryption and decryption.
type CipherParams struct {
	IV         []byte // AES-CBC and AES-GCM: the initialization vector; AES-CTR: the first counter block; RSA-OAEP: the label
	Additional []byte // AES-GCM: what is authenticated beside the data
	Length     int    // AES-GCM: bits of the tag; AES-CTR: bits of the counter
}

// size is how many bytes there are to go through beside the data.
func (p *CipherParams) size() int { return len(p.IV) + len(p.Additional) }

func newAES(params Params, secret []byte) (*Key, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, dataError("an AES key has 128, 192 or 256 bits, not %d", 8*len(secret))
	}
	params.Length = 8 * len(secret)
	key := &Key{Params: params, Kind: Secret, secret: secret, block: block}
	if params.Algorithm == AESGCM {
		if key.gcm, err = cipher.NewGCM(block); err != nil {
			return nil, operationError("%v", err)
		}
	}
	return key, nil
}

// ---- CBC (Web Cryptography 28), with the padding of PKCS #7 ----

func (k *Key) encryptCBC(params CipherParams, data []byte, out Sink) error {
	if len(params.IV) != aes.BlockSize {
		return operationError("the initialization vector of AES-CBC has 16 bytes, not %d", len(params.IV))
	}
	padding := aes.BlockSize - len(data)%aes.BlockSize
	sealed := out.ReturnBuffer(len(data) + padding)
	copy(sealed, data)
	for i := len(data); i < len(sealed); i++ {
		sealed[i] = byte(padding)
	}
	cipher.NewCBCEncrypter(k.block, params.IV).CryptBlocks(sealed, sealed)
	return nil
}

func (k *Key) decryptCBC(params CipherParams, data []byte, out Sink) error {
	if len(params.IV) != aes.BlockSize {
		return operationError("the initialization vector of AES-CBC has 16 bytes, not %d", len(params.IV))
	}
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return operationError("data encrypted by AES-CBC has whole blocks of 16 bytes")
	}
	plain := make([]byte, len(data))
	defer clear(plain)
	cipher.NewCBCDecrypter(k.block, params.IV).CryptBlocks(plain, data)
	padding := paddingLength(plain[len(plain)-aes.BlockSize:])
	if padding == 0 {
		return operationError("decryption failed")
	}
	copy(out.ReturnBuffer(len(plain)-padding), plain)
	return nil
}

// paddingLength returns how many bytes at the end of the last block are padding, or 0 if they are not well
// formed. Its time does not depend on the bytes.
func paddingLength(block []byte) int {
	last := int(block[aes.BlockSize-1])
	good := subtle.ConstantTimeLessOrEq(1, last) & subtle.ConstantTimeLessOrEq(last, aes.BlockSize)
	for i, b := range block {
		isPadding := subtle.ConstantTimeLessOrEq(aes.BlockSize-i, last)
		good &= subtle.ConstantTimeSelect(isPadding, subtle.ConstantTimeByteEq(b, byte(last)), 1)
	}
	return good * last
}

// ---- CTR (Web Cryptography 27) ----

// cryptCTR encrypts or decrypts. The counter is the last params.Length bits of the block: they wrap, and the
// others stay as they are.
func (k *Key) cryptCTR(params CipherParams, data []byte, out Sink) error {
	if len(params.IV) != aes.BlockSize {
		return operationError("the counter block of AES-CTR has 16 bytes, not %d", len(params.IV))
	}
	if params.Length < 1 || params.Length > 128 {
		return operationError("the counter of AES-CTR has 1 to 128 bits, not %d", params.Length)
	}
	blocks := (uint64(len(data)) + aes.BlockSize - 1) / aes.BlockSize
	if params.Length < 64 && blocks > 1<<params.Length {
		return operationError("the data has more blocks than a counter of %d bits can count", params.Length)
	}
	first := len(data)
	restart, untilWrap := wrapCounter(params.IV, params.Length)
	if blocks > untilWrap {
		first = int(untilWrap * aes.BlockSize)
	}
	result := out.ReturnBuffer(len(data))
	cipher.NewCTR(k.block, params.IV).XORKeyStream(result[:first], data[:first])
	if first < len(data) {
		cipher.NewCTR(k.block, restart[:]).XORKeyStream(result[first:], data[first:])
	}
	return nil
}

// wrapCounter returns the block that comes after the one whose counter, its last bits bits, is all ones, and
// how many blocks there are from the given one until then, or the largest number if they are more than fit.
func wrapCounter(block []byte, bits int) (restart [aes.BlockSize]byte, untilWrap uint64) {
	high, low := binary.BigEndian.Uint64(block), binary.BigEndian.Uint64(block[8:])
	highMask, lowMask := uint64(0), ^uint64(0)
	if bits > 64 {
		highMask = 1<<(bits-64) - 1 // a shift by 64 gives 0, and the mask all ones
	} else {
		lowMask = 1<<bits - 1
	}
	binary.BigEndian.PutUint64(restart[:], high&^highMask)
	binary.BigEndian.PutUint64(restart[8:], low&^lowMask)
	left := lowMask - low&lowMask // blocks after this one
	if high&highMask != highMask || left == ^uint64(0) {
		return restart, ^uint64(0)
	}
	return restart, left + 1
}

// ---- GCM (Web Cryptography 29) ----

const wholeTag = 16 // bytes

// aead returns the cipher for initialization vectors of that many bytes.
func (k *Key) aead(ivLength int) (cipher.AEAD, error) {
	if ivLength == 12 {
		return k.gcm, nil
	}
	if ivLength == 0 {
		return nil, operationError("the initialization vector of AES-GCM is empty")
	}
	aead, err := cipher.NewGCMWithNonceSize(k.block, ivLength)
	if err != nil {
		return nil, operationError("%v", err)
	}
	return aead, nil
}

func checkTagLength(bits int) error {
	switch bits {
	case 32, 64, 96, 104, 112, 120, 128:
		return nil
	}
	return operationError("the tag of AES-GCM has 32, 64, 96, 104, 112, 120 or 128 bits, not %d", bits)
}

func (k *Key) encryptGCM(params CipherParams, data []byte, out Sink) error {
	if err := checkTagLength(params.Length); err != nil {
		return err
	}
	aead, err := k.aead(len(params.IV))
	if err != nil {
		return err
	}
	tag := params.Length / 8
	result := out.ReturnBuffer(len(data) + tag)
	if tag == wholeTag {
		aead.Seal(result[:0], params.IV, data, params.Additional)
		return nil
	}
	copy(result, aead.Seal(nil, params.IV, data, params.Additional)) // a shorter tag is the beginning of the whole one
	return nil
}

func (k *Key) decryptGCM(params CipherParams, data []byte, out Sink) error {
	if err := checkTagLength(params.Length); err != nil {
		return err
	}
	tag := params.Length / 8
	if len(data) < tag {
		return operationError("the data is shorter than its tag")
	}
	aead, err := k.aead(len(params.IV))
	if err != nil {
		return err
	}
	sealed, given := data[:len(data)-tag], data[len(data)-tag:]
	if tag == wholeTag {
		// Into a buffer of its own: Open wipes what it wrote if the tag is wrong, but not before others could see
		// that.
		if _, err := aead.Open(out.ReturnBuffer(len(sealed))[:0], params.IV, data, params.Additional); err != nil {
			return operationError("decryption failed")
		}
		return nil
	}
	// crypto/cipher takes no tags this short. GCM's encryption is its own inverse: sealing what is sealed gives the
	// plain text, and sealing that again the tag.
	plain := aead.Seal(nil, params.IV, sealed, params.Additional)[:len(sealed)]
	defer clear(plain)
	expected := aead.Seal(nil, params.IV, plain, params.Additional)[len(sealed):][:tag]
	if subtle.ConstantTimeCompare(expected, given) != 1 {
		return operationError("decryption failed")
	}
	copy(out.ReturnBuffer(len(plain)), plain)
	return nil
}

// ---- Key wrap (Web Cryptography 30, RFC 3394) ----

const wrapBlock = 8 // bytes

var wrapIV = [wrapBlock]byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}

func (k *Key) wrapAES(data []byte, out Sink) error {
	if len(data) < 2*wrapBlock || len(data)%wrapBlock != 0 {
		return operationError("AES-KW wraps a multiple of 8 bytes, 16 at least, not %d", len(data))
	}
	result := out.ReturnBuffer(len(data) + wrapBlock)
	copy(result[wrapBlock:], data)
	n := len(data) / wrapBlock
	var b [aes.BlockSize]byte // A | R[i]
	copy(b[:], wrapIV[:])
	for t := 1; t <= 6*n; t++ {
		r := result[wrapBlock+(t-1)%n*wrapBlock:][:wrapBlock]
		copy(b[wrapBlock:], r)
		k.block.Encrypt(b[:], b[:])
		copy(r, b[wrapBlock:])
		binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^uint64(t))
	}
	copy(result, b[:wrapBlock])
	return nil
}

func (k *Key) unwrapAES(data []byte) ([]byte, error) {
	if len(data) < 3*wrapBlock || len(data)%wrapBlock != 0 {
		return nil, operationError("what AES-KW has wrapped is a multiple of 8 bytes, 24 at least, not %d", len(data))
	}
	plain := append([]byte(nil), data[wrapBlock:]...)
	n := len(plain) / wrapBlock
	var b [aes.BlockSize]byte
	copy(b[:], data[:wrapBlock])
	for t := 6 * n; t >= 1; t-- {
		r := plain[(t-1)%n*wrapBlock:][:wrapBlock]
		binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^uint64(t))
		copy(b[wrapBlock:], r)
		k.block.Decrypt(b[:], b[:])
		copy(r, b[wrapBlock:])
	}
	if subtle.ConstantTimeCompare(b[:wrapBlock], wrapIV[:]) != 1 {
		clear(plain)
		return nil, operationError("unwrapping failed")
	}
	return plain, nil
}
