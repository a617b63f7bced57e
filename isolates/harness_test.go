package isolates

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"nano/http1"
	"nano/snapshot"
)

// testRuntime is shared by all tests: V8 starts once per process.
var testRuntime *Runtime

// TestMain takes more flags of V8 from the environment. With those that make collections frequent, such as
// --stress-compaction and --gc-global, the tests must pass, but for those of what memory and CPU time cost. With
// --stress-incremental-marking those fail that want JSON to be parsed by our own code, which leaves it to V8 then.
func TestMain(m *testing.M) {
	if more := os.Getenv("NANO_TEST_V8_FLAGS"); more != "" {
		testFlags = " " + more
	}
	folder, err := os.MkdirTemp("", "nano-isolates")
	if err == nil {
		testRuntime, _, err = LoadRuntime(snapshot.Store{Folder: folder})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if path := os.Getenv(buildTo); path != "" {
		buildInChild(path)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

// lockThread keeps the test on one OS thread, as a loop does.
func lockThread(t testing.TB) {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
}

// watchThread puts the test's thread under CPU limits.
func watchThread(t testing.TB) {
	t.Helper()
	lockThread(t)
	if err := WatchThread(); err != nil {
		t.Fatal(err)
	}
}

// writeFiles makes a folder with files, given as name, content, name, content …
func writeFiles(t testing.TB, files ...string) string {
	folder := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(folder, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// bundle makes a bundle of files; the first is the main module.
func bundle(t testing.TB, files ...string) (*Bundle, error) {
	folder := writeFiles(t, files...)
	resolver, err := testRuntime.NewResolver()
	if err != nil {
		t.Fatal(err)
	}
	defer resolver.Close()
	return resolver.Resolve(filepath.Join(folder, files[0]), folder)
}

// resolve makes an app of files; the first is the main module.
func resolve(t testing.TB, options AppOptions, files ...string) (*App, error) {
	resolved, err := bundle(t, files...)
	if err != nil {
		return nil, err
	}
	if options.Name == "" {
		options.Name = "test"
	}
	if options.EnvJSON == "" {
		options.EnvJSON = "{}"
	}
	return testRuntime.NewApp(options, resolved), nil
}

// startOn starts an app in an isolate made for it.
func startOn(app *App, wake int) (*Isolate, error) {
	return testRuntime.NewPool(PoolOptions{Wake: wake}).Start(app)
}

// startApp runs an app of one module in a new isolate.
func startApp(t testing.TB, options Options, source string) *Isolate {
	t.Helper()
	lockThread(t)
	app, err := resolve(t, AppOptions{Limits: Limits{Heap: options.HeapLimit, CPU: options.CPULimit}}, "app.js", source)
	if err != nil {
		t.Fatal(err)
	}
	isolate, err := startOn(app, options.Wake)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(isolate.Dispose)
	return isolate
}

// Options of a test's isolate.
type Options struct {
	Wake      int
	HeapLimit uint64
	CPULimit  time.Duration
}

var unlimited = Options{Wake: -1}

// request stages a request given as text with "\n" line ends and a body after the empty line.
func request(t testing.TB, isolate *Isolate, id uint32, text string) {
	t.Helper()
	requestWithLogID(t, isolate, id, 0, text)
}

// requestWithLogID is the same for a request that the logs know by an id.
func requestWithLogID(t testing.TB, isolate *Isolate, id uint32, logID uint64, text string) {
	t.Helper()
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "\n", "\r\n"), "\r\n\r\n")
	head += "\r\n\r\n"
	var parsed http1.Head
	if err := parsed.Parse([]byte(head), 1<<16-1); err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	staged := Request{ID: id, LogID: logID, Head: []byte(head), Parsed: &parsed, RemoteAddress: []byte("192.0.2.1:1234")}
	if body != "" {
		staged.Body = []byte(body)
	}
	isolate.AddRequest(&staged)
}

// turn runs a turn, and more of them while records are left, and returns copies of what came out.
func turn(t testing.TB, isolate *Isolate) []Record {
	t.Helper()
	var records []Record
	for {
		if err := isolate.Turn(); err != nil {
			t.Fatal(err)
		}
		records = append(records, drain(isolate)...)
		if !isolate.Unfinished() {
			return records
		}
	}
}

func drain(isolate *Isolate) []Record {
	var records []Record
	for {
		record, ok := isolate.Next()
		if !ok {
			return records
		}
		kept := *record
		kept.Reason, kept.Head, kept.Body = []byte(string(kept.Reason)), []byte(string(kept.Head)), []byte(string(kept.Body))
		kept.Target = []byte(string(kept.Target))
		if !record.Block.IsZero() {
			FreeBlock(record.Block)
		}
		records = append(records, kept)
	}
}

// fetch makes one request to an app that answers within the turn.
func fetch(t testing.TB, isolate *Isolate, text string) Record {
	t.Helper()
	request(t, isolate, 1, text)
	return respondOf(t, turn(t, isolate))
}

func respondOf(t testing.TB, records []Record) Record {
	t.Helper()
	for _, record := range records {
		if record.Kind == KindRespond {
			return record
		}
	}
	t.Fatalf("no answer in %+v", records)
	panic("unreachable")
}

const get = "GET / HTTP/1.1\nHost: app.test\n\n"
