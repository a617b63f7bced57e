package webcrypto

import (
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
)

// Hash is a hash function. Scripts number them alike.
type Hash uint8

// The hash functions. MD5 is for Digester only: apps ask for it to make the ETags and checksums of others.
const (
	SHA1 Hash = iota
	SHA256
	SHA384
	SHA512
	MD5
	hashCount
)

// NoHash stands for none.
const NoHash = Hash(0xff)

var hashNames = [hashCount]string{"SHA-1", "SHA-256", "SHA-384", "SHA-512", "MD5"}

var hashFunctions = [hashCount]crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.MD5}

// String returns the name of the hash function.
func (h Hash) String() string { return hashNames[h] }

func (h Hash) std() crypto.Hash { return hashFunctions[h] }

// new returns a fresh state of the hash function.
func (h Hash) new() hash.Hash {
	switch h {
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	case SHA384:
		return sha512.New384()
	case SHA512:
		return sha512.New()
	}
	return md5.New()
}

// blockBits is the length of the block that the hash function works on, which is the length of an HMAC key for
// it unless the app gives another.
func (h Hash) blockBits() int {
	if h == SHA384 || h == SHA512 {
		return 1024
	}
	return 512
}

// sum returns the hash of data. The array is for the result.
func (h Hash) sum(data []byte, array *[sha512.Size]byte) []byte {
	switch h {
	case SHA1:
		sum := sha1.Sum(data)
		return array[:copy(array[:], sum[:])]
	case SHA256:
		sum := sha256.Sum256(data)
		return array[:copy(array[:], sum[:])]
	case SHA384:
		sum := sha512.Sum384(data)
		return array[:copy(array[:], sum[:])]
	case SHA512:
		*array = sha512.Sum512(data)
		return array[:]
	}
	sum := md5.Sum(data)
	return array[:copy(array[:], sum[:])]
}

// Digest hashes data (Web Cryptography 14.3.5). onLoop: the caller is a loop; the error may be ErrSlow.
func Digest(h Hash, data []byte, onLoop bool, out Sink) error {
	if onLoop && len(data) > h.bytesOnLoopMax() {
		return ErrSlow
	}
	var array [sha512.Size]byte
	sum := h.sum(data, &array)
	copy(out.ReturnBuffer(len(sum)), sum)
	return nil
}

// Digester hashes what comes in pieces.
type Digester struct {
	hash  Hash
	state hash.Hash
}

// NewDigester returns one that has seen nothing.
func NewDigester(h Hash) *Digester { return &Digester{h, h.new()} }

// Size is about how many bytes of memory it takes.
func (d *Digester) Size() int { return 256 }

// Write hashes a piece. onLoop: the caller is a loop; the error may be ErrSlow, and is nil otherwise.
func (d *Digester) Write(piece []byte, onLoop bool) error {
	if onLoop && len(piece) > d.hash.bytesOnLoopMax() {
		return ErrSlow
	}
	d.state.Write(piece)
	return nil
}

// Finish returns the hash of all pieces.
func (d *Digester) Finish(out Sink) {
	var array [sha512.Size]byte
	sum := d.state.Sum(array[:0])
	copy(out.ReturnBuffer(len(sum)), sum)
}
