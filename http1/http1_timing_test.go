package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

const plainHead = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"

// browserHead is what a browser sends for a page: 12 fields, about 700 bytes.
const browserHead = "GET /articles/2026/11/spring?page=2&sort=new HTTP/1.1\r\n" +
	"Host: www.example.com\r\n" +
	"Connection: keep-alive\r\n" +
	"Cache-Control: max-age=0\r\n" +
	"Upgrade-Insecure-Requests: 1\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
	"Sec-Fetch-Site: same-origin\r\n" +
	"Sec-Fetch-Mode: navigate\r\n" +
	"Referer: https://www.example.com/articles/2026/11/spring?page=1&sort=new\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1; last=%2Farticles%2F2026\r\n" +
	"\r\n"

func benchmarkParse(b *testing.B, head string) {
	raw := []byte(head)
	var h Head
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Parse(raw, MaxHeadLength); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParsePlain(b *testing.B)   { benchmarkParse(b, plainHead) }
func BenchmarkParseBrowser(b *testing.B) { benchmarkParse(b, browserHead) }

// BenchmarkParseBytewise parses a head that arrives in pieces of one byte.
func BenchmarkParseBytewise(b *testing.B) {
	raw := []byte(browserHead)
	var h Head
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		for i := 1; i < len(raw); i++ {
			if err := h.Parse(raw[:i], MaxHeadLength); err != ErrIncomplete {
				b.Fatal(err)
			}
		}
		if err := h.Parse(raw, MaxHeadLength); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNetHTTP is the standard library's parser on the same head, for comparison.
func BenchmarkNetHTTP(b *testing.B) {
	raw := []byte(browserHead)
	source := bytes.NewReader(raw)
	reader := bufio.NewReader(source)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		source.Reset(raw)
		reader.Reset(source)
		if _, err := http.ReadRequest(reader); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChunked decodes 64 KiB in chunks of 4 KiB.
func BenchmarkChunked(b *testing.B) {
	var body []byte
	for range 16 {
		body = AppendChunkHead(body, 4096)
		body = append(body, bytes.Repeat([]byte("x"), 4096)...)
		body = append(body, ChunkEnd...)
	}
	body = append(body, LastChunk...)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var d ChunkDecoder
		for rest := body; ; {
			_, n, done, err := d.Decode(rest)
			if err != nil {
				b.Fatal(err)
			}
			if done {
				break
			}
			rest = rest[n:]
		}
	}
}

func BenchmarkAppendResponseHead(b *testing.B) {
	r := ResponseHead{
		Status:        200,
		Date:          AppendDate(nil, 784111777),
		Head:          []byte("content-type: text/plain;charset=UTF-8\r\nx-request-id: 0123456789abcdef\r\ncache-control: no-store\r\n"),
		ContentLength: 13,
	}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendResponseHead(dst[:0], &r)
	}
}
