package admin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/control"
	"nano/logs"
	"nano/loop"
)

// patience bounds how long a test waits for what must come.
const patience = 20 * time.Second

// fakeNode is a Node that has one app, and notes what it is asked for.
type fakeNode struct {
	mutex    sync.Mutex
	calls    []string
	uploaded []byte
	bytesMax int64
	fails    error
	inDeploy chan struct{} // holds deploys up, until it is closed; nil: not
	entered  chan struct{}
	loops    []loop.LoopStatus
	notReady bool
}

func (n *fakeNode) note(format string, args ...any) error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.calls = append(n.calls, fmt.Sprintf(format, args...))
	return n.fails
}

func (n *fakeNode) Apps(context.Context) ([]control.App, error) {
	app := control.App{Name: "hello", Path: "/", State: control.StateWarm, Versions: []control.Version{version}}
	app.Stats.Requests, app.Stats.CPULimit, app.Stats.CPU = 7, 2, 1500*time.Millisecond
	app.Stats.Latency.Buckets[1] = 5
	app.Stats.Heap.Spaces[2].Used, app.Stats.Heap.Spaces[2].Committed = 10, 20
	return []control.App{app}, n.fails
}

var version = control.Version{ID: "0123456789ab", Number: 3, Created: time.Unix(1_700_000_000, 0).UTC(), From: control.FromFile, Weight: 1}

func (n *fakeNode) Deploy(_ context.Context, name string, d control.Deployment) (control.Version, error) {
	n.mutex.Lock()
	hold, entered := n.inDeploy, n.entered
	if hold != nil && entered == nil {
		n.mutex.Unlock()
		return control.Version{}, control.ErrBusy
	}
	n.entered = nil
	n.mutex.Unlock()
	if hold != nil {
		close(entered)
		<-hold
	}
	if d.Length > n.bytesMax {
		return control.Version{}, fmt.Errorf("%w: %d bytes", control.ErrTooLarge, d.Length)
	}
	body, err := io.ReadAll(io.LimitReader(d.Body, n.bytesMax+1))
	switch {
	case err != nil:
		return control.Version{}, err
	case int64(len(body)) > n.bytesMax:
		return control.Version{}, control.ErrTooLarge
	}
	n.uploaded = body
	return version, n.note("deploy %s %s %v %s %s", name, d.Type, d.Hosts, d.Path, d.Settings)
}

func (n *fakeNode) Rollback(_ context.Context, name, to string) (control.Version, error) {
	return version, n.note("rollback %s %s", name, to)
}

func (n *fakeNode) Split(_ context.Context, name string, weights map[string]int) error {
	return n.note("split %s %v", name, weights)
}
func (n *fakeNode) Remove(_ context.Context, name string) error { return n.note("remove %s", name) }
func (n *fakeNode) Sleep(_ context.Context, name string) error  { return n.note("sleep %s", name) }
func (n *fakeNode) Wake(_ context.Context, name string) error   { return n.note("wake %s", name) }

func (n *fakeNode) Reload(context.Context) (*control.Report, error) {
	return &control.Report{Changes: []control.Change{{App: "hello", Action: control.Failed, Reason: "no"}}, Same: 2, Duration: time.Second}, n.fails
}
func (n *fakeNode) Loops(context.Context) []loop.LoopStatus { return n.loops }
func (n *fakeNode) Ready() bool                             { return !n.notReady }

func (n *fakeNode) HeapSnapshot(_ context.Context, name string, w io.Writer) error {
	if n.fails != nil {
		return n.fails
	}
	_, err := io.WriteString(w, `{"snapshot":{}}`)
	return errors.Join(err, n.note("heap %s", name))
}

func (n *fakeNode) CPUProfile(_ context.Context, name string, d time.Duration, w io.Writer) error {
	if _, err := io.WriteString(w, `{"nodes":[`); err != nil {
		return err
	}
	return n.note("profile %s %v", name, d)
}

// desk is a server over a fake node.
type desk struct {
	*testing.T
	node   *fakeNode
	server *Server
	url    string
	log    *bytes.Buffer
	lines  *logs.Log // that is followed
}

type syncWriter struct {
	mutex *sync.Mutex
	to    *bytes.Buffer
}

func (w syncWriter) Write(p []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.to.Write(p)
}

func newDesk(t *testing.T, token string) *desk {
	t.Helper()
	d := &desk{T: t, node: &fakeNode{bytesMax: 1000}, log: &bytes.Buffer{}}
	logger := slog.New(slog.NewTextHandler(syncWriter{&sync.Mutex{}, d.log}, nil))
	d.lines = logs.New(logs.Options{To: io.Discard})
	t.Cleanup(func() { d.lines.Close(patience) })
	handler := NewHandler(Options{Node: d.node, Version: "1.2.3", Logger: logger, Logs: d.lines.Hub()})
	listener, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.server = Serve(listener, NewGuard(token, false, logger, handler), logger)
	d.url = "http://" + d.server.Address().String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := d.server.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return d
}

// ask sends a request, and returns status and body. Header lines are "Name: value".
func (d *desk) ask(method, path, body string, lines ...string) (status int, answer string, header http.Header) {
	d.Helper()
	request, err := http.NewRequest(method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			request.Host = value
		}
		request.Header.Set(name, value)
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if errors.Is(err, io.EOF) {
		return 0, "BROKEN OFF", nil // before its head
	}
	if err != nil {
		d.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		text = append(text, " BROKEN OFF"...)
	}
	return response.StatusCode, strings.TrimSpace(string(text)), response.Header
}

func TestCalls(t *testing.T) {
	d := newDesk(t, "")
	hello := `{"name":"hello","hosts":[],"path":"/","state":"warm","uploaded":false,"versions":[{"id":"0123456789ab","number":3,` +
		`"created":"2023-11-14T22:13:20Z","from":"file","weight":1}],"stats":{"requests":7,"errors":2,"answered":5,"answer_seconds":0,` +
		`"cpu_seconds":1.5,"in_hand":0,"warm":0,"resident_bytes":0,"subrequests":0}`
	versionText := `{"id":"0123456789ab","number":3,"created":"2023-11-14T22:13:20Z","from":"file","weight":1}`
	for _, test := range []struct {
		method, path, body string
		status             int
		answer, call       string
	}{
		{"GET", "/healthz", "", 200, `{"status":"ok","stalled_loops":[]}`, ""},
		{"HEAD", "/healthz", "", 200, "", ""},
		{"GET", "/readyz", "", 200, `{"status":"ready","version":"1.2.3"}`, ""},
		{"GET", "/v1/apps", "", 200, `{"apps":[` + hello + `}]}`, ""},
		{"GET", "/v1/apps/hello", "", 200, hello + `,"details":{`, ""},
		{"GET", "/v1/apps/other", "", 404, `{"error":"app other: not found"}`, ""},
		{"GET", "/v1/apps/No%20Name", "", 404, `{"error":"\"No Name\" is no name`, ""},
		{"PUT", "/v1/apps/hello?host=a.example&host=b.example&path=/x&settings=health%3D%22/%22", "export default {}", 200, versionText,
			`deploy hello application/javascript [a.example b.example] /x health="/"`},
		{"PUT", "/v1/apps/hello?color=red", "x", 400, `{"error":"query: \"color\" is unknown`, ""},
		{"PUT", "/v1/apps/hello?path=/a&path=/b", "x", 400, `{"error":"query: path stands there 2 times`, ""},
		{"DELETE", "/v1/apps/hello", "", 204, "", "remove hello"},
		{"POST", "/v1/apps/hello/rollback", "", 200, versionText, "rollback hello "},
		{"POST", "/v1/apps/hello/rollback", `{"version":"ab"}`, 200, versionText, "rollback hello ab"},
		{"POST", "/v1/apps/hello/rollback", `{"versoin":"ab"}`, 400, `{"error":"the body is not what belongs here: unknown field`, ""},
		{"POST", "/v1/apps/hello/rollback", `{} {}`, 400, `{"error":"the body is not what belongs here: it goes on`, ""},
		{"POST", "/v1/apps/hello/split", `{"weights":{"a":9,"b":1}}`, 200, hello, "split hello map[a:9 b:1]"},
		{"POST", "/v1/apps/hello/split", "", 400, `{"error":"the body names no weights`, ""},
		{"POST", "/v1/apps/hello/sleep", "", 200, hello, "sleep hello"},
		{"POST", "/v1/apps/hello/wake", "", 200, hello, "wake hello"},
		{"POST", "/v1/reload", "", 200, `{"changes":[{"app":"hello","action":"failed","reason":"no"}],"unchanged":2,"warnings":[],"duration_seconds":1}`, ""},
		{"GET", "/v1/loops", "", 200, `{"loops":[]}`, ""},
		{"GET", "/v1/apps/hello/heap", "", 200, `{"snapshot":{}}`, "heap hello"},
		{"POST", "/v1/apps/hello/profile?seconds=0.5", "", 200, `{"nodes":[`, "profile hello 500ms"},
		{"GET", "/v1/apps/hello/profile?seconds=61", "", 400, `{"error":"seconds: \"61\" is not above 0`, ""},
		{"GET", "/v1/apps/hello/profile?seconds=NaN", "", 400, `{"error":"seconds: `, ""},
		{"GET", "/v1/apps/other/logs", "", 404, `{"error":"app other: not found"}`, ""},
		{"GET", "/", "", 404, `{"error":"there is nothing at /"}`, ""},
		{"GET", "/v2/apps", "", 404, `{"error":"there is nothing at /v2/apps"}`, ""},
	} {
		d.node.calls = nil
		status, answer, header := d.ask(test.method, test.path, test.body, "Content-Type: application/javascript")
		if status != test.status || !strings.HasPrefix(answer, test.answer) || strings.HasPrefix(test.answer, `{"error`) != strings.HasPrefix(answer, `{"error`) {
			t.Errorf("%s %s: %d %s", test.method, test.path, status, answer)
		}
		if got := strings.Join(d.node.calls, ","); got != test.call {
			t.Errorf("%s %s: called %q", test.method, test.path, got)
		}
		if status != 204 && header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %s", test.method, test.path, header.Get("Content-Type"))
		}
		if len(header["Access-Control-Allow-Origin"]) != 0 {
			t.Errorf("%s %s: pages may read the answer", test.method, test.path)
		}
	}
}

func TestMethods(t *testing.T) {
	d := newDesk(t, "")
	for path, want := range map[string]string{
		"/healthz": "GET, HEAD", "/v1/apps": "GET, HEAD", "/v1/apps/hello": "GET, HEAD, PUT, DELETE", "/v1/reload": "POST",
		"/v1/apps/hello/profile": "GET, HEAD, POST", "/v1/apps/hello/sleep": "POST", "/v1/logs": "GET, HEAD",
	} {
		status, answer, header := d.ask("PATCH", path, "")
		if status != 405 || header.Get("Allow") != want || !strings.Contains(answer, `"error"`) {
			t.Errorf("%s: %d, allow %q, %s", path, status, header.Get("Allow"), answer)
		}
	}
}

func TestErrors(t *testing.T) {
	d := newDesk(t, "")
	for _, test := range []struct {
		err    error
		status int
		answer string
	}{
		{fmt.Errorf("app hello: %w", control.ErrNotFound), 404, "app hello: not found"},
		{control.ErrBusy, 409, "busy"},
		{control.ErrTooLarge, 413, "too large"},
		{&control.RejectedError{Err: errors.New("a.ts:1:2: no\nb.ts:3:4: neither")}, 422, `{"error":"a.ts:1:2: no","diagnostics":["a.ts:1:2: no","b.ts:3:4: neither"]}`},
		{fmt.Errorf("write: %w", unix.ENOSPC), 507, "no space"},
		{context.DeadlineExceeded, 504, "deadline"},
		{errors.New("what else"), 500, "what else"},
	} {
		d.node.fails = test.err
		for _, call := range [][2]string{{"PUT", "/v1/apps/hello"}, {"DELETE", "/v1/apps/hello"}, {"POST", "/v1/apps/hello/rollback"}, {"GET", "/v1/apps"},
			{"POST", "/v1/reload"}, {"GET", "/v1/apps/hello/heap"}} {
			status, answer, _ := d.ask(call[0], call[1], "", "Content-Type: text/typescript")
			if status != test.status || !strings.Contains(answer, test.answer) {
				t.Errorf("%v: %s %s: %d %s", test.err, call[0], call[1], status, answer)
			}
		}
	}
	// What breaks off in the middle must not look whole.
	d.node.fails = errors.New("it fell asleep")
	if status, answer, _ := d.ask("GET", "/v1/apps/hello/profile", ""); !strings.HasSuffix(answer, "BROKEN OFF") {
		t.Errorf("%d %s", status, answer)
	}
}

func TestHealth(t *testing.T) {
	d := newDesk(t, "")
	d.node.loops = []loop.LoopStatus{{Loop: 0, Responsive: true}, {Loop: 1, HasEnded: true}, {Loop: 2}}
	d.node.notReady = true
	if status, answer, _ := d.ask("GET", "/healthz", ""); status != 503 || answer != `{"status":"stalled","stalled_loops":[2]}` {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer, _ := d.ask("GET", "/readyz", ""); status != 503 || !strings.Contains(answer, "not ready") {
		t.Errorf("%d %s", status, answer)
	}
	_, answer, _ := d.ask("GET", "/v1/loops", "")
	var list LoopList
	if err := json.Unmarshal([]byte(answer), &list); err != nil || len(list.Loops) != 3 || list.Loops[2].Responsive || !list.Loops[1].HasEnded {
		t.Errorf("%v %s", err, answer)
	}
}

// TestLoopCoversAll: each counter of a loop is shown.
func TestLoopCoversAll(t *testing.T) {
	var status loop.LoopStatus
	stats := reflect.ValueOf(&status.Stats).Elem()
	for i := range stats.NumField() {
		before := loopOf(&status)
		if field := stats.Field(i); field.Kind() == reflect.Array {
			field.Index(3).SetUint(1e9)
		} else {
			field.SetUint(1e9)
		}
		if reflect.DeepEqual(before, loopOf(&status)) {
			t.Errorf("%s is not shown", stats.Type().Field(i).Name)
		}
	}
}

// TestTwoDeploys: while an app is deployed another deploy is refused, and the first one goes on.
func TestTwoDeploys(t *testing.T) {
	d := newDesk(t, "")
	entered := make(chan struct{})
	d.node.inDeploy, d.node.entered = make(chan struct{}), entered
	first := make(chan int, 1)
	go func() {
		status, _, _ := d.ask("PUT", "/v1/apps/hello", "export default {}", "Content-Type: text/javascript")
		first <- status
	}()
	<-entered
	if status, answer, header := d.ask("PUT", "/v1/apps/hello", "x", "Content-Type: text/javascript"); status != 409 || header.Get("Retry-After") == "" {
		t.Errorf("%d %s", status, answer)
	}
	close(d.node.inDeploy)
	if status := <-first; status != 200 {
		t.Errorf("the first: %d", status)
	}
}

// talk sends raw bytes, and returns all that comes back until the server closes.
func (d *desk) talk(text string, andClose bool) string {
	d.Helper()
	connection, err := net.Dial("tcp", d.server.Address().String())
	if err != nil {
		d.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(connection, text); err != nil {
		return err.Error() // it was refused before all was sent
	}
	if andClose {
		_ = connection.(*net.TCPConn).CloseWrite()
	}
	answer, err := io.ReadAll(connection)
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		d.Fatal(err)
	}
	return string(answer)
}

func TestUploads(t *testing.T) {
	d := newDesk(t, "")
	head := "PUT /v1/apps/hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/javascript\r\nConnection: close\r\n"
	for name, test := range map[string]struct{ text, want, why string }{
		"whole":         {head + "Content-Length: 3\r\n\r\nabc", "HTTP/1.1 200", versionID},
		"chunked":       {head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200", versionID},
		"truncated":     {head + "Content-Length: 10\r\n\r\nabc", "HTTP/1.1 400", "the upload broke off: its end is missing"},
		"without end":   {head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "HTTP/1.1 400", "broke off"},
		"bad chunk":     {head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n", "HTTP/1.1 400", "broke off"},
		"announced":     {head + "Content-Length: 100000000000\r\n\r\nabc", "HTTP/1.1 413", "too large"},
		"too long":      {head + "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + strings.Repeat("x", 2000) + "\r\n0\r\n\r\n", "HTTP/1.1 413", "too large"},
		"without type":  {"PUT /v1/apps/hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 400", "content-type"},
		"large body":    {"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", 70000), "HTTP/1.1 413", "65536"},
		"cut body":      {"POST /v1/apps/hello/split HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70\r\n\r\n{", "HTTP/1.1 400", "broke off"},
		"huge head":     {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 50_000) + "\r\n\r\n", "HTTP/1.1 431", ""},
		"no HTTP":       {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400", ""},
		"half a head":   {"GET /healthz HTTP/1.1\r\nHost: loc", "", ""},
		"both lengths":  {head + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "HTTP/1.1 400", ""},
		"path climbing": {"GET /v1/apps/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 307", ""},
	} {
		if got := d.talk(test.text, true); !strings.HasPrefix(got, test.want) || !strings.Contains(got, test.why) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if status, _, _ := d.ask("GET", "/readyz", ""); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
	var zipped bytes.Buffer
	writer := gzip.NewWriter(&zipped)
	io.WriteString(writer, "plain")
	writer.Close()
	if status, answer, _ := d.ask("PUT", "/v1/apps/hello", zipped.String(), "Content-Type: text/javascript", "Content-Encoding: gzip"); status != 200 ||
		string(d.node.uploaded) != "plain" {
		t.Errorf("%d %s %q", status, answer, d.node.uploaded)
	}
	for name, body := range map[string]string{"no gzip": "xxxxxxxxxxxxxxxxxx", "cut": zipped.String()[:20], "empty": "", "damaged": zipped.String()[:12] + "xxxx" + zipped.String()[16:]} {
		if status, answer, _ := d.ask("PUT", "/v1/apps/hello", body, "Content-Type: text/javascript", "Content-Encoding: gzip"); status != 400 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	bomb := zipped
	bomb.Reset()
	writer = gzip.NewWriter(&bomb)
	writer.Write(make([]byte, 1<<20))
	writer.Close()
	if status, answer, _ := d.ask("PUT", "/v1/apps/hello", bomb.String(), "Content-Type: text/javascript", "Content-Encoding: gzip"); status != 413 {
		t.Errorf("a bomb: %d %s", status, answer)
	}
	if status, _, _ := d.ask("PUT", "/v1/apps/hello", "x", "Content-Type: application/x-tar", "Content-Encoding: br"); status != 400 {
		t.Errorf("%d", status)
	}
}

const versionID = `"id":"0123456789ab"`

// TestBusy: no more requests of a kind are served than there are places, others are.
func TestBusy(t *testing.T) {
	d := newDesk(t, "")
	var readers []*bufio.Reader
	for range streamsMax + 1 {
		connection, err := net.Dial("tcp", d.server.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(patience))
		// A body that does not come holds a place as long as it is waited for.
		io.WriteString(connection, "GET /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n")
		readers = append(readers, bufio.NewReader(connection))
	}
	answered := make(chan string, len(readers))
	for _, reader := range readers {
		go func() {
			line, _ := reader.ReadString('\n')
			answered <- line
		}()
	}
	if line := <-answered; !strings.HasPrefix(line, "HTTP/1.1 503") {
		t.Errorf("got %q", line)
	}
	if status, _, _ := d.ask("GET", "/v1/apps", ""); status != 200 {
		t.Errorf("%d", status)
	}
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	first, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := Listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("got %v", err)
	}
	first.(*unixListener).UnixListener.Close() // as if the process had been killed
	again, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is left")
	}
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:" + plain); err == nil || !strings.HasPrefix(err.Error(), "[admin] listen unix:") {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(plain); string(text) != "keep" {
		t.Error("a file is gone")
	}
	if _, err := Listen("192.0.2.1:1"); err == nil || strings.Count(err.Error(), "192.0.2.1") != 1 {
		t.Errorf("got %v", err)
	}
}
