package webcrypto

import (
	"crypto/hmac"
	"crypto/sha512"
	"crypto/subtle"
)

// newHMAC takes over secret, of which the first params.Length bits are the key, or all.
func newHMAC(params Params, secret []byte) *Key {
	if params.Length == NoLength {
		params.Length = 8 * len(secret)
	}
	if rest := params.Length % 8; rest != 0 {
		secret[len(secret)-1] &= 0xff << (8 - rest)
	}
	return &Key{Params: params, Kind: Secret, secret: secret}
}

// importHMAC checks the length that the app gave (Web Cryptography 31.6.4).
func importHMAC(params Params, secret []byte) (*Key, error) {
	bits := 8 * len(secret)
	if bits == 0 {
		return nil, dataError("the key is empty")
	}
	if params.Length != NoLength && (params.Length > bits || params.Length <= bits-8) {
		return nil, dataError("the key has %d bits, not %d", bits, params.Length)
	}
	return newHMAC(params, secret), nil
}

// mac returns the HMAC of data. The array is for the result. The key keeps one state, which has hashed the padded
// key already, for the next call; whoever finds that in use makes another.
func (k *Key) mac(data []byte, array *[sha512.Size]byte) []byte {
	state := k.idleMAC.Swap(nil)
	if state == nil {
		mac := hmac.New(k.Hash.new, k.secret)
		state = &mac
	}
	(*state).Write(data)
	sum := (*state).Sum(array[:0])
	(*state).Reset()
	k.idleMAC.Store(state)
	return sum
}

func (k *Key) signHMAC(data []byte, out Sink) {
	var array [sha512.Size]byte
	mac := k.mac(data, &array)
	copy(out.ReturnBuffer(len(mac)), mac)
}

func (k *Key) verifyHMAC(signature, data []byte) bool {
	var array [sha512.Size]byte
	return subtle.ConstantTimeCompare(k.mac(data, &array), signature) == 1
}
