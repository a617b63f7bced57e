// Package compression holds the formats of the Compression Standard (https://compression.spec.whatwg.org/): gzip
// (RFC 1952), deflate (RFC 1950, with the header of zlib), deflate-raw (RFC 1951) and brotli (RFC 7932), in pieces,
// as JavaScript calls them by package hostcall.
//
// Streams of JavaScript push. So does what compresses; what decompresses stops where its input ends, and where a
// piece of output is full: however much comes of a small input, no more than a piece of it is made before it is
// asked for. Large states are borrowed from pools, for as long as a stream is not at its end.
package compression

// pieceBytes is how many bytes are compressed, or come of decompressing, in one call. It may be a match more.
const pieceBytes = 64 << 10

// A Format is a member of the enumeration CompressionFormat.
type Format uint8

// Formats, by the numbers that 72_compression.js has for them.
const (
	Gzip Format = iota
	Deflate
	DeflateRaw
	Brotli
	formats
)
