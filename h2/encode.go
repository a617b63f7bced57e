package h2

import (
	"bytes"
	"unsafe"

	"golang.org/x/net/http2/hpack"
)

// The encoder of request heads (RFC 7541). It has no dynamic table: what is put into it would be kept for as
// long as the connection lives, once for each, and a request is small beside its response. Names have their index
// of the static table where there is one, and texts Huffman's code where that is shorter. It makes no garbage.

// Indices of the static table (RFC 7541 Appendix A) that are used whole.
const (
	indexAuthority   = 1
	indexMethodGET   = 2
	indexMethodPOST  = 3
	indexMethod      = 2
	indexPathRoot    = 4
	indexPath        = 4
	indexSchemeHTTP  = 6
	indexSchemeHTTPS = 7
)

// staticNames are the indices of names that requests have.
var staticNames = map[string]uint8{
	"accept-charset": 15, "accept-encoding": 16, "accept-language": 17, "accept-ranges": 18, "accept": 19,
	"access-control-allow-origin": 20, "age": 21, "allow": 22, "authorization": 23, "cache-control": 24,
	"content-disposition": 25, "content-encoding": 26, "content-language": 27, "content-length": 28, "content-location": 29,
	"content-range": 30, "content-type": 31, "cookie": 32, "date": 33, "etag": 34, "expires": 36, "from": 37,
	"if-match": 39, "if-modified-since": 40, "if-none-match": 41, "if-range": 42, "if-unmodified-since": 43, "last-modified": 44,
	"link": 45, "location": 46, "max-forwards": 47, "proxy-authorization": 49, "range": 50, "referer": 51, "user-agent": 58, "via": 60,
}

// appendInteger appends a number in the representation of RFC 7541 §5.1, whose first byte has so many
// bits for it, beside those of first.
func appendInteger(dst []byte, first byte, bits uint, value int) []byte {
	most := 1<<bits - 1
	if value < most {
		return append(dst, first|byte(value))
	}
	dst = append(dst, first|byte(most))
	for value -= most; value >= 0x80; value >>= 7 {
		dst = append(dst, byte(value)|0x80)
	}
	return append(dst, byte(value))
}

// appendText appends a string literal (RFC 7541 §5.2).
func appendText(dst, text []byte) []byte {
	view := unsafe.String(unsafe.SliceData(text), len(text)) // only read, and not kept
	if n := int(hpack.HuffmanEncodeLength(view)); n < len(text) {
		return hpack.AppendHuffmanString(appendInteger(dst, 0x80, 7, n), view)
	}
	return append(appendInteger(dst, 0, 7, len(text)), text...)
}

// appendIndexed appends a field of the static table.
func appendIndexed(dst []byte, index byte) []byte { return append(dst, 0x80|index) }

// appendField appends a field whose name is in the static table. It is kept in no table; isSecret: nor may whoever
// passes it on keep it in one (RFC 7541 §7.1.3).
func appendField(dst []byte, index int, value []byte, isSecret bool) []byte {
	first := byte(0)
	if isSecret {
		first = 0x10
	}
	return appendText(appendInteger(dst, first, 4, index), value)
}

// A Request is the head of a request. Lines are header fields, each "name: value\r\n", that were checked
// before and are none about the connection; names may have capital letters.
type Request struct {
	Method, Scheme, Authority, Path, Lines []byte
}

// appendRequest appends the field block of a request.
func appendRequest(dst []byte, r *Request) []byte {
	// A server may make its table smaller, and has to hear that we know. The smallest fits whatever it says.
	dst = append(dst, 0x20)
	switch {
	case string(r.Method) == "GET":
		dst = appendIndexed(dst, indexMethodGET)
	case string(r.Method) == "POST":
		dst = appendIndexed(dst, indexMethodPOST)
	default:
		dst = appendField(dst, indexMethod, r.Method, false)
	}
	if string(r.Scheme) == "https" {
		dst = appendIndexed(dst, indexSchemeHTTPS)
	} else {
		dst = appendIndexed(dst, indexSchemeHTTP)
	}
	dst = appendField(dst, indexAuthority, r.Authority, false)
	if string(r.Path) == "/" {
		dst = appendIndexed(dst, indexPathRoot)
	} else {
		dst = appendField(dst, indexPath, r.Path, false)
	}
	for lines := r.Lines; len(lines) != 0; {
		end := bytes.IndexByte(lines, '\n')
		colon := bytes.IndexByte(lines, ':')
		dst = appendLine(dst, lines[:colon], bytes.Trim(lines[colon+1:end], " \t\r"))
		lines = lines[end+1:]
	}
	return dst
}

// appendLine appends a field of a header line.
func appendLine(dst, name, value []byte) []byte {
	var scratch [64]byte
	lower := scratch[:0]
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower = append(lower, c)
	}
	isSecret := string(lower) == "authorization" || string(lower) == "cookie"
	if index, ok := staticNames[string(lower)]; ok {
		return appendField(dst, int(index), value, isSecret)
	}
	return appendText(appendText(append(dst, 0), lower), value)
}
