package loop

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nano/uring/fakering"
)

// lockedBuffer is a writer that is read from elsewhere.
type lockedBuffer struct {
	mutex sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Append(lines []byte, _ int) (next []byte, dropped int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.Write(lines)
	return lines, 0
}

func logged(t *testing.T, asJSON bool) []string {
	var log lockedBuffer
	w := newWorld(t, fakering.Config{}, func(o *Options) {
		o.AccessLog, o.AccessLogJSON = &log, asJSON
		o.DrainTimeout = 100 * time.Millisecond
	})
	w.talk("GET /x?a=\"b\"\\ HTTP/1.1\r\nHost: a\r\n\r\nGET /stream/2 HTTP/1.1\r\nHost: a\r\n\r\n")
	w.talk("HEAD / HTTP/1.0\r\n\r\n")
	w.talk("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
	gone, _ := w.talk("GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
	gone.Reset()
	w.settle()
	w.end()
	return strings.SplitAfter(strings.TrimSuffix(log.String(), "\n"), "\n")
}

// requestID is how logs show the id of a request.
var requestID = regexp.MustCompile(`^[0-9a-f]{16}$`)

func TestAccessLogText(t *testing.T) {
	want := []string{
		`192.0.2.1:1234 a "GET /x?a=\x22b\x22\x5c HTTP/1.1" 200 16 0.0000`,
		`192.0.2.1:1234 a "GET /stream/2 HTTP/1.1" 200 16 0.0000`,
		`192.0.2.1:1234 - "HEAD / HTTP/1.0" 404 `,
		`- - "-" 400 `,
		`192.0.2.1:1234 a "GET /never HTTP/1.1" 499 0 0.0050`,
	}
	ends := []string{" demo", " demo", " -", " -", " demo"}
	lines := logged(t, false)
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	ids := map[string]bool{}
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\n")
		id := line[strings.LastIndexByte(line, ' ')+1:]
		if !requestID.MatchString(id) || ids[id] {
			t.Errorf("the request's id is %q", id)
		}
		ids[id] = true
		line = strings.TrimSuffix(line, " "+id)
		stamp, rest, _ := strings.Cut(line, " ")
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", stamp); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(rest, want[i]) || !strings.HasSuffix(rest, ends[i]) {
			t.Errorf("got %q, want %q…%q", rest, want[i], ends[i])
		}
	}
}

func TestAccessLogJSON(t *testing.T) {
	lines := logged(t, true)
	if len(lines) != 5 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	var got []map[string]any
	for _, line := range lines {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got = append(got, fields)
	}
	first := got[0]
	if id, _ := first["request"].(string); !requestID.MatchString(id) {
		t.Errorf("the request's id is %v", first["request"])
	}
	delete(first, "request")
	delete(first, "seconds")
	delete(first, "time")
	for name, want := range map[string]any{"client": "192.0.2.1:1234", "host": "a", "method": "GET",
		"target": "/x?a=\"b\"\\", "protocol": "HTTP/1.1", "app": "demo", "status": 200.0, "bytes": 16.0} {
		if first[name] != want {
			t.Errorf("%s is %v, want %v", name, first[name], want)
		}
		delete(first, name)
	}
	if len(first) != 0 {
		t.Errorf("more fields than expected: %v", first)
	}
	if got[4]["status"] != 499.0 || got[3]["status"] != 400.0 || got[3]["time"] == nil {
		t.Errorf("got %v", got[3:])
	}
}

// fullLog is an AccessLog that notes what is handed over, and takes nothing from the moment it is full.
type fullLog struct {
	appends []int // lines of each
	isFull  bool
}

func (f *fullLog) Append(lines []byte, count int) (next []byte, dropped int) {
	if n := bytes.Count(lines, []byte{'\n'}); n != count || lines[len(lines)-1] != '\n' {
		panic("lines are broken, or not counted")
	}
	if f.isFull {
		return lines[:0], count
	}
	f.appends = append(f.appends, count)
	return nil, 0
}

// TestAccessLogHandOver: a line after a pause goes at once, those that follow go together when the pause is over or when
// they are many, and a loop without lines is not woken up for any.
func TestAccessLogHandOver(t *testing.T) {
	var log fullLog
	w := newWorld(t, fakering.Config{}, func(o *Options) { o.AccessLog = &log })
	peer := w.ring.Dial(w.listener)
	ask := func(target string) {
		peer.WriteString("GET /" + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		w.run(time.Millisecond)
	}
	expect := func(when string, want ...int) {
		t.Helper()
		if !slices.Equal(log.appends, want) {
			t.Errorf("%s: lines were handed over %v at a time, want %v", when, log.appends, want)
		}
	}
	ask("")
	expect("at first", 1)
	for range 3 {
		ask("")
	}
	expect("within the pause", 1)
	w.run(accessLogPause)
	expect("after it", 1, 3)
	w.run(accessLogPause)
	if deadline := w.loop.log.limit(-1, w.loop.now); deadline != -1 {
		t.Errorf("there is nothing to log, and the loop is to wake up in %v", deadline)
	}
	ask("")
	expect("later", 1, 3, 1)
	for range accessLogHandOver/(20<<10) + 1 {
		ask(strings.Repeat("x", 20<<10))
	}
	expect("with long lines", 1, 3, 1, 4)
	if got := bytes.Count(peer.Take(), []byte("HTTP/1.1 200")); got != 9 {
		t.Errorf("%d answers", got)
	}
	peer.Close()
}

// TestAccessLogSlow: where there is no room, requests go on; lines are dropped and counted.
func TestAccessLogSlow(t *testing.T) {
	log := fullLog{isFull: true}
	w := newWorld(t, fakering.Config{}, func(o *Options) { o.AccessLog = &log })
	peer := w.ring.Dial(w.listener)
	for range 120 {
		peer.WriteString("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		w.run(time.Millisecond)
	}
	if got := bytes.Count(peer.Take(), []byte("HTTP/1.1 200")); got != 120 {
		t.Errorf("%d answers", got)
	}
	w.run(accessLogPause)
	if w.loop.stats.LogDropped != 120 || len(w.loop.log.buffer) != 0 {
		t.Errorf("%d lines dropped, %d bytes kept", w.loop.stats.LogDropped, len(w.loop.log.buffer))
	}
	peer.Close()
}

// TestAccessLogTexts: whatever clients send makes one line, which says what they sent.
func TestAccessLogTexts(t *testing.T) {
	for _, each := range []struct{ text, escaped, quoted string }{
		{"", "", `""`},
		{"/plain?a=b", "/plain?a=b", `"/plain?a=b"`},
		{"\"a\\b c\n", `\x22a\x5cb\x20c\x0a`, `"\"a\\b c\u000a"`},
		{"x\x7f\x1b[m", `x\x7f\x1b[m`, `"x\u007f\u001b[m"`},
		{"ä/€", `\xc3\xa4/\xe2\x82\xac`, `"ä/€"`},
		{"\xe4/\xff!", `\xe4/\xff!`, `"ä/ÿ!"`},
	} {
		if got := string(appendEscaped([]byte("-"), []byte(each.text))); got != "-"+each.escaped {
			t.Errorf("%q: %s, want %s", each.text, got, each.escaped)
		}
		if got := string(appendQuoted([]byte("-"), []byte(each.text))); got != "-"+each.quoted {
			t.Errorf("%q: %s, want %s", each.text, got, each.quoted)
		}
	}
	for nanoseconds, want := range map[int64]string{-5: "0.000000", 999: "0.000000", 1000: "0.000001", 1234567891: "1.234567", 3600e9 + 20e3: "3600.000020"} {
		if got := string(appendSeconds(nil, nanoseconds)); got != want {
			t.Errorf("%d ns: %s, want %s", nanoseconds, got, want)
		}
	}
	if got := string(appendRequestID(nil, 0x0123456789abcdef)); got != "0123456789abcdef" {
		t.Error(got)
	}
}
