package loop

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"nano/isolates"
	"nano/uring/fakering"
)

// coded is text in a content coding.
func coded(t testing.TB, coding, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch coding {
	case "gzip", "x-gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "raw deflate":
		w, err = flate.NewWriter(&b, 6)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// codedResponse is a response with a body in some content coding.
func codedResponse(coding, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", coding, len(body), body)
}

// randomText is text that does not become very short.
func randomText(n int) string {
	random := rand.New(rand.NewPCG(1, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnop"[random.IntN(16)]
	}
	return string(b)
}

// TestDecode decodes bodies whole and in pieces of any size, read fast and slowly.
func TestDecode(t *testing.T) {
	for _, name := range []string{"gzip", "x-gzip", "deflate", "raw deflate", "br", "zstd"} {
		t.Run(name, func(t *testing.T) {
			f := newFetcher(t, fakering.Config{}, nil)
			header := strings.TrimPrefix(name, "raw ")
			for _, text := range []string{"", "hello", strings.Repeat("hello, ", 100), randomText(300_000)} {
				response := codedResponse(header, coded(t, name, text))
				for _, piece := range []int{1, 7, 1000, len(response)} {
					if len(response)/piece > 2000 {
						continue
					}
					for _, window := range []int{1, 100_000} {
						f.window = window
						r := f.fetch("GET "+originURL+"/", nil)
						for rest := response; rest != ""; {
							n := min(piece, len(rest))
							f.origin().WriteString(rest[:n])
							rest = rest[n:]
							f.run(2 * time.Microsecond)
						}
						f.run(time.Millisecond)
						if r.body != text || !r.ended || r.fault != 0 || !r.news.encoded {
							t.Fatalf("pieces of %d, window %d: %d bytes of %d, ended %v: %s", piece, window, len(r.body), len(text), r.ended, r.faultText)
						}
					}
				}
			}
			f.checkAtRest()
		})
	}
}

// TestDecodeOdd: what origins send that is not quite a coding.
func TestDecodeOdd(t *testing.T) {
	hello := coded(t, "gzip", "hello, ")
	long := coded(t, "gzip", randomText(100_000))
	flip := func(s string, i int) string { return s[:i] + string(s[i]^0xff) + s[i+1:] }
	for _, test := range []struct{ name, coding, body, want, fault string }{
		{"empty", "gzip", "", "", ""},
		{"two members", "gzip", hello + hello, "hello, hello, ", ""},
		{"zeros after", "gzip", hello + "\x00\x00\x00", "hello, ", ""},
		{"garbage after", "gzip", hello + strings.Repeat("garbage", 100), "hello, ", ""},
		{"identity", "identity", "plain", "plain", ""},
		{"unknown", "compress", "plain", "plain", ""},
		{"one is unknown", "gzip, compress", "plain", "plain", ""},
		{"two codings", "gzip, br", coded(t, "br", hello), "hello, ", ""},
		{"three codings", "GZIP ,br, zstd", coded(t, "zstd", coded(t, "br", hello)), "hello, ", ""},
		{"too many codings", "gzip, gzip, gzip, gzip", "plain", "plain", ""},
		{"cut off", "gzip", hello[:len(hello)-3], "hello, ", "unexpected EOF"},
		{"cut off in the header", "gzip", hello[:5], "", "unexpected EOF"},
		{"not gzip", "gzip", "<html>this is plain</html>", "", "invalid header"},
		{"not zstd", "zstd", "<html>this is plain</html>", "", "invalid"},
		{"not brotli", "br", "\xff\xff\xff\xff", "", "brotli"},
		{"wrong checksum", "gzip", flip(hello, len(hello)-6), "hello, ", "invalid checksum"},
		{"damaged", "gzip", flip(long, len(long)/2), "", ": "},
	} {
		for _, bytewise := range []bool{false, true} {
			f := newFetcher(t, fakering.Config{}, nil)
			r := f.fetch("GET "+originURL+"/", nil)
			response := codedResponse(test.coding, test.body)
			if bytewise {
				for i := range min(len(response), 1000) {
					f.origin().WriteString(response[i : i+1])
					f.run(2 * time.Microsecond)
				}
				response = response[min(len(response), 1000):]
			}
			f.origin().WriteString(response)
			f.run(time.Second)
			isRight := r.body == test.want || test.name == "damaged"
			if !isRight || !r.ended || !strings.Contains(r.faultText, test.fault) || (test.fault == "") != (r.faultText == "") {
				t.Errorf("%s, %v: %.100q, ended %v: %q", test.name, bytewise, r.body, r.ended, r.faultText)
			}
			f.checkAtRest()
		}
	}
}

// TestDecodeLate: the coding breaks, or its origin does, in the middle of a body that comes slowly.
func TestDecodeLate(t *testing.T) {
	long := coded(t, "gzip", randomText(300_000))
	for _, test := range []struct {
		name  string
		end   func(f *fetcher)
		fault string
	}{
		{"origin closes", func(f *fetcher) { f.origin().Close() }, "before the whole body had come"},
		{"garbage", func(f *fetcher) {
			f.origin().WriteString(strings.Repeat("\xff", len(codedResponse("gzip", long))-50_000))
		}, "content coding of the body is damaged"},
		{"cancelled", func(f *fetcher) {
			f.do(isolates.Record{Kind: isolates.KindCancel, Handle: f.number, Flags: isolates.CancelAll})
		}, ""},
		{"isolate dies", func(f *fetcher) {
			f.worker.fail = isolates.ErrMemoryLimit
			f.loop.wantTurn(f.loop.apps[0])
		}, ""},
	} {
		for _, window := range []int{1, 1000, 1 << 20} {
			f := newFetcher(t, fakering.Config{}, nil)
			f.window = window
			r := f.fetch("GET "+originURL+"/", nil)
			f.answer(codedResponse("gzip", long)[:50_000])
			test.end(f)
			f.run(time.Second)
			if test.fault != "" && (!r.ended || !strings.Contains(r.faultText, test.fault)) {
				t.Errorf("%s, window %d: ended %v: %s", test.name, window, r.ended, r.faultText)
			}
			f.checkAtRest()
		}
	}
}

// TestDecodeBomb: a body that would become 100 MB takes what the isolate wants to read of it.
func TestDecodeBomb(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 100 {
		w.Write(zeros)
	}
	w.Close()
	f := newFetcher(t, fakering.Config{}, nil)
	f.window = 0
	r := f.fetch("GET "+originURL+"/", nil)
	f.answer(codedResponse("gzip", b.String()))
	for i := range 5 {
		f.read(f.number, 100_000)
		f.settle()
		if n := len(r.body); n > (i+1)*(100_000+decodedPiece) {
			t.Errorf("%d bytes for %d windows of 100,000", n, i+1)
		}
	}
	f.do(isolates.Record{Kind: isolates.KindCancel, Handle: f.number, Flags: isolates.CancelAll})
	f.settle()
	f.checkAtRest()
}

// TestDecodeLeavesNoGoroutine: coroutines end with their bodies.
func TestDecodeLeavesNoGoroutine(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	before := runtime.NumGoroutine()
	long := codedResponse("gzip", coded(t, "gzip", randomText(300_000)))
	for range 20 {
		f.fetch("GET "+originURL+"/", nil)
		f.answer(long[:50_000])
		f.do(isolates.Record{Kind: isolates.KindCancel, Handle: f.number, Flags: isolates.CancelAll})
		f.settle()
		f.fetch("GET "+originURL+"/", nil)
		f.answer(long)
	}
	f.checkAtRest()
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}
