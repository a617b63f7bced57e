package static

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const modified = 784111777 // Sun, 06 Nov 1994 08:49:37 GMT

// fileWith makes a file of 10 bytes with some siblings.
func fileWith(others ...Coding) *File {
	f := &File{}
	for _, coding := range append(others, Identity) {
		f.Variants[coding] = &Variant{Size: 10, Content: []byte("0123456789"), Modified: modified,
			ETag: fmt.Sprintf("%q", "tag-"+coding.String()), lastModified: "Sun, 06 Nov 1994 08:49:37 GMT"}
	}
	f.format("text/plain")
	return f
}

func TestChoose(t *testing.T) {
	all := fileWith(Brotli, Zstandard, Gzip)
	for accepted, want := range map[string]Coding{
		"":                              Identity,
		"gzip":                          Gzip,
		"GZIP":                          Gzip,
		"x-gzip":                        Gzip,
		"gzip, deflate, br, zstd":       Brotli,
		"gzip, zstd":                    Zstandard,
		"gzip;q=0.8,br;q=0.7":           Gzip,
		"gzip;q=0.8 , br; q=0.9":        Brotli,
		"br;q=0":                        Identity,
		"br;q=0.0, gzip;q=0.001":        Gzip, // whoever names it wants it
		"identity;q=0.5, gzip;q=0.4":    Identity,
		"identity;q=0.5, gzip;q=0.6":    Gzip,
		"identity;q=0":                  Identity,
		"*":                             Brotli,
		"*;q=0.5, br;q=0, identity;q=0": Zstandard,
		"gzip;q=1.0, identity; q=0.5":   Gzip,
		"deflate":                       Identity,
		",,gzip,,":                      Gzip,
		"gzip;q=":                       Gzip,
		"gzip;q=x":                      Identity,
	} {
		if got := all.choose([]byte(accepted)); got != want {
			t.Errorf("%q: %q, want %q", accepted, got, want)
		}
	}
	if got := fileWith(Gzip).choose([]byte("br, gzip;q=0.1, identity;q=0")); got != Gzip {
		t.Errorf("%q instead of gzip", got)
	}
	if got := fileWith().choose([]byte("gzip, *")); got != Identity {
		t.Errorf("%q of a file without siblings", got)
	}
}

// TestAnswer asks with header lines and expects a status, and for 206 the content.
func TestAnswer(t *testing.T) {
	const same, before, after = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
	for ask, want := range map[string]string{
		"":                                                      "200 0123456789",
		`If-None-Match: "tag-"`:                                 "304",
		`If-None-Match: W/"tag-"`:                               "304",
		`If-None-Match: "a", W/"b" ,"tag-", "c"`:                "304",
		`If-None-Match: "a,b", "tag-"`:                          "304",
		`If-None-Match: *`:                                      "304",
		`If-None-Match: "tag-br"`:                               "200 0123456789",
		`If-None-Match: tag-`:                                   "200 0123456789",
		`If-None-Match: "tag-`:                                  "200 0123456789",
		`If-None-Match: W/`:                                     "200 0123456789",
		"If-Modified-Since: " + same:                            "304",
		"If-Modified-Since: " + after:                           "304",
		"If-Modified-Since: " + before:                          "200 0123456789",
		"If-Modified-Since: yesterday":                          "200 0123456789",
		"If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT":     "304",
		"If-Modified-Since: Sun Nov  6 08:49:37 1994":           "304",
		`If-None-Match: "x"` + "\nIf-Modified-Since: " + same:   "200 0123456789",
		`If-Match: "tag-"`:                                      "200 0123456789",
		`If-Match: W/"tag-"`:                                    "412",
		`If-Match: "x"`:                                         "412",
		`If-Match: *`:                                           "200 0123456789",
		`If-Match: "x"` + "\nIf-None-Match: *":                  "412",
		"If-Unmodified-Since: " + same:                          "200 0123456789",
		"If-Unmodified-Since: " + before:                        "412",
		"If-Unmodified-Since: soon":                             "200 0123456789",
		`If-Match: "tag-"` + "\nIf-Unmodified-Since: " + before: "200 0123456789",
		"Range: bytes=0-0":                                      "206 0",
		"Range: bytes=2-4":                                      "206 234",
		"Range: Bytes=2-4":                                      "206 234",
		"Range: bytes=7-":                                       "206 789",
		"Range: bytes=7-99999999999999999999999":                "206 789",
		"Range: bytes=-3":                                       "206 789",
		"Range: bytes=-99":                                      "206 0123456789",
		"Range: bytes=-0":                                       "416",
		"Range: bytes=10-":                                      "416",
		"Range: bytes=10-12":                                    "416",
		"Range: bytes=99999999999999999999999-":                 "416",
		"Range: bytes=4-2":                                      "200 0123456789",
		"Range: bytes=-":                                        "200 0123456789",
		"Range: bytes=a-b":                                      "200 0123456789",
		"Range: bytes=1-2,4-5":                                  "200 0123456789",
		"Range: lines=1-2":                                      "200 0123456789",
		"Range: bytes=+1-2":                                     "200 0123456789",
		"Range: bytes":                                          "200 0123456789",
		"Range: bytes=1-2\nIf-Range: \"tag-\"":                  "206 12",
		"Range: bytes=1-2\nIf-Range: W/\"tag-\"":                "200 0123456789",
		"Range: bytes=1-2\nIf-Range: \"x\"":                     "200 0123456789",
		"Range: bytes=1-2\nIf-Range: " + same:                   "206 12",
		"Range: bytes=1-2\nIf-Range: " + after:                  "200 0123456789",
		"Range: bytes=1-2\nIf-None-Match: \"tag-\"":             "304",
		"Range: bytes=99-\nIf-None-Match: \"tag-\"":             "304",
		"Accept-Encoding: br\nIf-None-Match: \"tag-br\"":        "304",
		"Accept-Encoding: br\nIf-None-Match: \"tag-\"":          "200 0123456789",
		"Accept-Encoding: gzip\nRange: bytes=1-1\nIf-Range: \"tag-gzip\"": "206 1",
	} {
		var r Request
		for line := range strings.SplitSeq(ask, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			r.Take([]byte(name), []byte(value))
		}
		f := fileWith(Brotli, Gzip)
		a := f.Answer(&r, make([]byte, 0, 500))
		got := fmt.Sprint(a.Status)
		if a.End > a.Start {
			got += " " + string(a.Variant.Content[a.Start:a.End])
		}
		if got != want {
			t.Errorf("%q: %s, want %s", ask, got, want)
		}
		lines := string(a.Lines)
		mustHave := map[int][]string{
			200: {"content-type: text/plain\r\n", "etag: ", "last-modified: ", "vary: accept-encoding\r\n", "accept-ranges: bytes\r\n", "cache-control: "},
			206: {"content-type: text/plain\r\n", "etag: ", "content-range: bytes "},
			304: {"etag: ", "vary: ", "cache-control: "},
			416: {"content-range: bytes */10\r\n"},
		}
		for _, line := range mustHave[a.Status] {
			if !strings.Contains(lines, line) {
				t.Errorf("%q: no %q in %q", ask, line, lines)
			}
		}
		if a.Status == 304 && strings.Contains(lines, "content-") {
			t.Errorf("%q: lines of a body: %q", ask, lines)
		}
	}
}

func TestRangesOfAnEmptyFile(t *testing.T) {
	f := &File{}
	f.Variants[Identity] = &Variant{Content: []byte{}, ETag: `"e"`}
	f.format("text/plain")
	for _, field := range []string{"bytes=0-", "bytes=-1", "bytes=0-0"} {
		if a := f.Answer(&Request{Range: []byte(field)}, nil); a.Status != 416 || !strings.Contains(string(a.Lines), "bytes */0\r\n") {
			t.Errorf("%s: %d %q", field, a.Status, a.Lines)
		}
	}
}

func TestAnswerDoesNotAllocate(t *testing.T) {
	f := fileWith(Brotli, Gzip)
	scratch := make([]byte, 0, 1<<10)
	asked := Request{AcceptEncoding: []byte("gzip, deflate, br"), IfNoneMatch: []byte(`"x"`), Range: []byte("bytes=1-2"),
		IfRange: []byte(`"tag-br"`)}
	if n := testing.AllocsPerRun(100, func() {
		r := Request{}
		r.Take([]byte("Accept-Encoding"), asked.AcceptEncoding)
		r.Take([]byte("If-None-Match"), asked.IfNoneMatch)
		r.Take([]byte("Range"), asked.Range)
		if f.Answer(&r, scratch).Status != 206 {
			t.Error("no part")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzAnswer: whatever a client says, the part that is sent lies in the file.
func FuzzAnswer(f *testing.F) {
	f.Add("gzip;q=0.5, *;q=0", `W/"tag-", *`, time.ANSIC, "bytes=-1", `"tag-"`)
	f.Add("br", "", "Sun, 06 Nov 1994 08:49:37 GMT", "bytes=9-10", "")
	f.Fuzz(func(t *testing.T, accept, tags, date, part, ifRange string) {
		r := Request{AcceptEncoding: []byte(accept), IfNoneMatch: []byte(tags), IfModifiedSince: []byte(date),
			Range: []byte(part), IfRange: []byte(ifRange)}
		if ifRange == "" {
			r.IfRange = nil
		}
		a := fileWith(Zstandard).Answer(&r, nil)
		isPart := a.Status == 206
		if a.Start < 0 || a.End > a.Variant.Size || a.Start > a.End || isPart && a.Start == a.End {
			t.Fatalf("%+v", a)
		}
	})
}
