package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAppendResponseHead(t *testing.T) {
	date := AppendDate(nil, 784111777)
	for _, test := range []struct {
		name string
		head ResponseHead
		want []string // lines
	}{
		{"RFC 9112 §4 plain", ResponseHead{Status: 200, ContentLength: 5}, []string{"HTTP/1.1 200 OK", "content-length: 5"}},
		{"RFC 9112 §4 own reason", ResponseHead{Status: 200, Reason: []byte("All right\t!"), ContentLength: 5}, []string{"HTTP/1.1 200 All right\t!", "content-length: 5"}},
		{"RFC 9112 §4 reason that would split the response", ResponseHead{Status: 404, Reason: []byte("a\r\nx: y"), ContentLength: 0}, []string{"HTTP/1.1 404 Not Found", "content-length: 0"}},
		{"RFC 9112 §4 reason with obs-text", ResponseHead{Status: 299, Reason: []byte("caf\xe9"), ContentLength: 0}, []string{"HTTP/1.1 299 ", "content-length: 0"}},
		{"RFC 9112 §4 no standard reason", ResponseHead{Status: 999, ContentLength: 0}, []string{"HTTP/1.1 999 ", "content-length: 0"}},
		{"RFC 9110 §6.6.1 date", ResponseHead{Status: 200, Date: date, ContentLength: 1}, []string{"HTTP/1.1 200 OK", "date: Sun, 06 Nov 1994 08:49:37 GMT", "content-length: 1"}},
		{"RFC 9112 §6.1 chunked", ResponseHead{Status: 200, ContentLength: -1, Chunked: true}, []string{"HTTP/1.1 200 OK", "transfer-encoding: chunked"}},
		{"RFC 9112 §6.2 the length wins over chunked", ResponseHead{Status: 200, ContentLength: 0, Chunked: true}, []string{"HTTP/1.1 200 OK", "content-length: 0"}},
		{"RFC 9112 §6.3 framed by the end of the connection", ResponseHead{Status: 200, ContentLength: -1, KeepAlive: true}, []string{"HTTP/1.1 200 OK", "connection: close"}},
		{"RFC 9112 §9.6 close", ResponseHead{Status: 200, ContentLength: 3, Close: true, KeepAlive: true}, []string{"HTTP/1.1 200 OK", "content-length: 3", "connection: close"}},
		{"RFC 9112 §9.3 keep-alive", ResponseHead{Status: 200, ContentLength: 3, KeepAlive: true}, []string{"HTTP/1.1 200 OK", "content-length: 3", "connection: keep-alive"}},
		{"RFC 9110 §15.2 1xx", ResponseHead{Status: 103, ContentLength: 3, Chunked: true}, []string{"HTTP/1.1 103 Early Hints"}},
		{"RFC 9110 §15.3.5 204", ResponseHead{Status: 204, ContentLength: 0}, []string{"HTTP/1.1 204 No Content"}},
		{"RFC 9110 §15.3.5 204 chunked", ResponseHead{Status: 204, ContentLength: -1, Chunked: true}, []string{"HTTP/1.1 204 No Content"}},
		{"RFC 9110 §15.3.5 204 neither", ResponseHead{Status: 204, ContentLength: -1, Close: true}, []string{"HTTP/1.1 204 No Content", "connection: close"}},
		{"RFC 9110 §15.4.5 304 with its length", ResponseHead{Status: 304, ContentLength: 12}, []string{"HTTP/1.1 304 Not Modified", "content-length: 12"}},
		{"RFC 9110 §15.4.5 304 without", ResponseHead{Status: 304, ContentLength: -1, Chunked: true}, []string{"HTTP/1.1 304 Not Modified"}},
		{"RFC 9110 §15.4.5 304 without and not chunked", ResponseHead{Status: 304, ContentLength: -1}, []string{"HTTP/1.1 304 Not Modified"}},
		{"the app's lines", ResponseHead{Status: 200, ContentLength: 1, Head: []byte("Content-Type: text/plain\r\nx: y\r\n")},
			[]string{"HTTP/1.1 200 OK", "Content-Type: text/plain", "x: y", "content-length: 1"}},
		{"framing among the app's lines", ResponseHead{Status: 200, ContentLength: 1, Date: date,
			Head: []byte("Content-Length: 9\r\na: b\r\nTransfer-Encoding: gzip\r\nCONNECTION: upgrade\r\nc: d\r\nkeep-alive: 5\r\nUpgrade: x\r\ndate: now\r\n")},
			[]string{"HTTP/1.1 200 OK", "date: Sun, 06 Nov 1994 08:49:37 GMT", "a: b", "c: d", "content-length: 1"}},
		{"a last line without its end", ResponseHead{Status: 200, ContentLength: 1, Head: []byte("a: b\r\nconnection: x")},
			[]string{"HTTP/1.1 200 OK", "a: b", "content-length: 1"}},
		{"the app's date where there is no other", ResponseHead{Status: 200, ContentLength: 1, Head: []byte("Date: then\r\n")},
			[]string{"HTTP/1.1 200 OK", "Date: then", "content-length: 1"}},
		{"names that only start like framing", ResponseHead{Status: 200, ContentLength: 1, Date: date,
			Head: []byte("content-lengths: 9\r\ncontent-lengtg: 9\r\ndatf: 1\r\nupgradf: 2\r\nconnectiom: 3\r\nkeep-alivf: 4\r\ntransfer-encodinf: 5\r\ntext: connection: x\r\n")},
			[]string{"HTTP/1.1 200 OK", "date: Sun, 06 Nov 1994 08:49:37 GMT", "content-lengths: 9", "content-lengtg: 9", "datf: 1", "upgradf: 2",
				"connectiom: 3", "keep-alivf: 4", "transfer-encodinf: 5", "text: connection: x", "content-length: 1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := string(AppendResponseHead([]byte("before"), &test.head))
			want := "before" + strings.Join(test.want, "\r\n") + "\r\n\r\n"
			if got != want {
				t.Errorf("got\n%q, want\n%q", got, want)
			}
			if len(got)-len("before")-len(test.head.Reason)-len(test.head.Head) > 200 {
				t.Errorf("%d bytes", len(got))
			}
		})
	}
}

// TestResponseRoundTrip reads responses of all statuses and framings with net/http.
func TestResponseRoundTrip(t *testing.T) {
	for status := 200; status < 600; status++ {
		for _, chunked := range []bool{false, true} {
			head := ResponseHead{Status: status, ContentLength: 5, Head: []byte("x-app: yes\r\n")}
			body := "hello"
			if chunked {
				head.ContentLength, head.Chunked = -1, true
				body = string(AppendChunkHead(nil, 5)) + "hello" + ChunkEnd + LastChunk
			}
			without := status == 204 || status == 304
			if without {
				body = ""
			}
			raw := string(AppendResponseHead(nil, &head)) + body
			reader := bufio.NewReader(strings.NewReader(raw + "next"))
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			got, err := io.ReadAll(response.Body)
			if err != nil || string(got) != "hello" && !without || response.StatusCode != status || response.Close || response.Header.Get("x-app") != "yes" {
				t.Errorf("%q: %+v, body %q, %v", raw, response, got, err)
			}
			if rest, _ := io.ReadAll(reader); string(rest) != "next" {
				t.Errorf("%q: then %q", raw, rest)
			}
		}
	}
}

func TestReasonPhrase(t *testing.T) {
	// Where net/http still has the names of RFC 7231 and before.
	renamed := map[int]string{413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
	for status := -1; status <= 1000; status++ {
		want := http.StatusText(status)
		if name, ok := renamed[status]; ok {
			want = name
		}
		if got := ReasonPhrase(status); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}

func TestAppendErrorResponse(t *testing.T) {
	text := []byte("nano: no app for a.example/<script>")
	for _, head := range []bool{false, true} {
		raw := AppendErrorResponse(nil, &ResponseHead{
			Status: 503, Date: AppendDate(nil, 0), Head: []byte("nano-error: cpu-limit\r\n"), Close: true,
			ContentLength: -1, Chunked: true, // not used
		}, text, head)
		request := &http.Request{Method: "GET"}
		if head {
			request.Method = "HEAD"
		}
		reader := bufio.NewReader(bytes.NewReader(append(raw, "next"...)))
		response, err := http.ReadResponse(reader, request)
		if err != nil {
			t.Fatal(err)
		}
		want := string(text)
		if head {
			want = ""
		}
		if body, err := io.ReadAll(response.Body); string(body) != want || err != nil {
			t.Errorf("HEAD %t: body %q, %v", head, body, err)
		}
		if rest, _ := io.ReadAll(reader); string(rest) != "next" {
			t.Errorf("HEAD %t: then %q", head, rest)
		}
		if response.StatusCode != 503 || response.ContentLength != int64(len(text)) || !response.Close ||
			response.Header.Get("nano-error") != "cpu-limit" || response.Header.Get("content-type") != "text/plain; charset=utf-8" ||
			response.Header.Get("date") != "Thu, 01 Jan 1970 00:00:00 GMT" || response.Header.Get("x-content-type-options") != "nosniff" {
			t.Errorf("HEAD %t: %q", head, raw)
		}
	}
}

func TestAppendDate(t *testing.T) {
	for _, second := range []int64{0, 784111777, 951782400, 1 << 31, 4102444799, 1798761599} {
		got := string(AppendDate(nil, second))
		if want := time.Unix(second, 0).UTC().Format(http.TimeFormat); got != want || len(got) != DateLength {
			t.Errorf("%d: %q, want %q", second, got, want)
		}
	}
}

func TestResponsesAllocateNothing(t *testing.T) {
	dst := make([]byte, 0, 1024)
	text := []byte("nano: no app for a.example/")
	r := ResponseHead{Status: 200, Date: AppendDate(nil, 0), Head: []byte("content-type: text/plain\r\nconnection: x\r\n"), ContentLength: 1 << 40}
	other := ResponseHead{Status: 299, Reason: []byte("Fine"), ContentLength: -1, Chunked: true}
	date := make([]byte, 0, DateLength)
	for name, f := range map[string]func(){
		"AppendResponseHead":             func() { AppendResponseHead(dst, &r) },
		"AppendResponseHead, own reason": func() { AppendResponseHead(dst, &other) },
		"AppendErrorResponse, bytes":     func() { AppendErrorResponse(dst, &r, text, false) },
		"AppendErrorResponse, string":    func() { AppendErrorResponse(dst, &r, "nano: no", false) },
		"AppendDate":                     func() { AppendDate(date, 1798761599) },
		"AppendChunkHead":                func() { AppendChunkHead(dst, 1<<40) },
	} {
		if allocations := testing.AllocsPerRun(100, f); allocations != 0 {
			t.Errorf("%s: %v allocations", name, allocations)
		}
	}
}
