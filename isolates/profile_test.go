package isolates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// heapSnapshot is the part of a .heapsnapshot file that says how to read the rest.
type heapSnapshot struct {
	Snapshot struct {
		Meta struct {
			NodeFields []string          `json:"node_fields"`
			NodeTypes  []json.RawMessage `json:"node_types"`
			EdgeFields []string          `json:"edge_fields"`
		} `json:"meta"`
		NodeCount int `json:"node_count"`
		EdgeCount int `json:"edge_count"`
	} `json:"snapshot"`
	Nodes   []int    `json:"nodes"`
	Edges   []int    `json:"edges"`
	Strings []string `json:"strings"`
}

func takeHeapSnapshot(t testing.TB, isolate *Isolate) *heapSnapshot {
	t.Helper()
	taking, err := isolate.HeapSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(taking)
	if err := errors.Join(err, taking.Close()); err != nil {
		t.Fatal(err)
	}
	var read heapSnapshot
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	return &read
}

func TestHeapSnapshot(t *testing.T) {
	isolate := startApp(t, unlimited, `
		class OrderOfTheTest { number = 1 }
		globalThis.kept = [];
		export default { fetch() { kept.push(new OrderOfTheTest()); return new Response("fine"); } }`)
	for range 5 {
		fetch(t, isolate, get)
	}
	read := takeHeapSnapshot(t, isolate)
	fields, edges := len(read.Snapshot.Meta.NodeFields), len(read.Snapshot.Meta.EdgeFields)
	if fields == 0 || edges == 0 || len(read.Nodes) != fields*read.Snapshot.NodeCount || len(read.Edges) != edges*read.Snapshot.EdgeCount {
		t.Fatalf("%d numbers of nodes with %d fields, node_count %d", len(read.Nodes), fields, read.Snapshot.NodeCount)
	}
	orders := 0
	for at := 0; at < len(read.Nodes); at += fields { // fields: type, name, …
		if kind := read.Nodes[at]; kind == 3 && read.Strings[read.Nodes[at+1]] == "OrderOfTheTest" {
			orders++
		}
	}
	if orders < 5 {
		t.Errorf("the snapshot has %d of 5 objects of the app's class", orders)
	}
	if answer := fetch(t, isolate, get); string(answer.Body) != "fine" {
		t.Errorf("after it: %q", answer.Body)
	}
}

func TestHeapSnapshotIsOfItsMoment(t *testing.T) {
	isolate := startApp(t, unlimited, `
		let number = 0;
		export default { fetch() { globalThis.mark = "mark of request " + ++number; return new Response(mark); } }`)
	fetch(t, isolate, get)
	taking, err := isolate.HeapSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer taking.Close()
	for range 10 {
		fetch(t, isolate, get)
	}
	data, err := io.ReadAll(taking)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte("mark of request ")) || bytes.Contains(data, []byte("mark of request 11")) {
		t.Error("the snapshot is not that of the moment at which it was asked for")
	}
}

// TestHeapSnapshotProcess is the first that the kernel ends when memory is short, and does not outlive the
// thread that it comes from: the node's end, however it comes about.
func TestHeapSnapshotProcess(t *testing.T) {
	var taking *HeapSnapshot
	var thread int
	begin := func(t *testing.T) {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		isolate := startApp(t, unlimited, `export default { fetch() { return new Response("fine") } }`)
		reader, err := isolate.HeapSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		taking, thread = reader.(*HeapSnapshot), unix.Gettid()
		// From here on it waits: there is more than what a pipe holds.
		if _, err := taking.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", taking.pid)); err != nil || string(score) != "1000\n" {
			t.Errorf("oom_score_adj is %q, %v", score, err)
		}
	}
	t.Run("begin", func(t *testing.T) {
		if runtime.LockOSThread(); unix.Gettid() != os.Getpid() {
			begin(t)
			return
		}
		t.Run("beside the main thread, which never ends", begin)
	})
	if taking == nil {
		t.FailNow()
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(fmt.Sprint("/proc/self/task/", thread)); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the thread has not ended")
		}
	}
	data, err := io.ReadAll(taking)
	if err != nil {
		t.Error(err)
	}
	if err := taking.Close(); err == nil || bytes.HasSuffix(bytes.TrimSpace(data), []byte("}")) {
		t.Errorf("its process went on after its thread's end: %v", err)
	}
}

func TestHeapSnapshotThatNobodyReads(t *testing.T) {
	isolate := startApp(t, unlimited, `export default { fetch() { return new Response("fine") } }`)
	before := countFiles(t)
	for range 5 {
		taking, err := isolate.HeapSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		if err := taking.Close(); err == nil {
			t.Error("a snapshot that was not read is complete")
		}
	}
	if after := countFiles(t); after > before {
		t.Errorf("%d files are open, %d before", after, before)
	}
	if answer := fetch(t, isolate, get); string(answer.Body) != "fine" {
		t.Errorf("after it: %q", answer.Body)
	}
}

func countFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// cpuProfile is a .cpuprofile file.
type cpuProfile struct {
	Nodes []struct {
		ID        int `json:"id"`
		CallFrame struct {
			FunctionName string `json:"functionName"`
			URL          string `json:"url"`
			LineNumber   int    `json:"lineNumber"`
			ColumnNumber int    `json:"columnNumber"`
		} `json:"callFrame"`
		HitCount int   `json:"hitCount"`
		Children []int `json:"children"`
	} `json:"nodes"`
	StartTime  int64 `json:"startTime"`
	EndTime    int64 `json:"endTime"`
	Samples    []int `json:"samples"`
	TimeDeltas []int `json:"timeDeltas"`
}

func readProfile(t testing.TB, data []byte) *cpuProfile {
	t.Helper()
	var read cpuProfile
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatalf("%v: %.200s", err, data)
	}
	if len(read.Samples) != len(read.TimeDeltas) || len(read.Nodes) == 0 || read.EndTime <= read.StartTime {
		t.Fatalf("%d samples, %d deltas, %d nodes", len(read.Samples), len(read.TimeDeltas), len(read.Nodes))
	}
	return &read
}

const spinner = `
export default {
  async fetch(request) {
    const digest = await crypto.subtle.digest("SHA-256", new Uint8Array(65536));
    return new Response(String(spinInTest(200000) + digest.byteLength));
  }
}
function spinInTest(rounds) {
  let sum = 0;
  for (let i = 0; i < rounds; i++) sum = (sum + i * i) % 1000003;
  return sum;
}`

func TestCPUProfile(t *testing.T) {
	isolate := startApp(t, unlimited, spinner)
	if err := isolate.StartProfile(time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := isolate.StartProfile(time.Minute); err == nil {
		t.Error("two profiles of an isolate at once")
	}
	begun := isolate.CPU()
	for id := uint32(1); isolate.CPU()-begun < 300*time.Millisecond; id++ {
		request(t, isolate, id, get)
		turn(t, isolate)
		runtime.GC() // signals come while Go works, too
	}
	read := readProfile(t, isolate.StopProfile())
	for _, node := range read.Nodes {
		frame := node.CallFrame
		if frame.FunctionName == "spinInTest" && node.HitCount > 10 {
			if !strings.HasSuffix(frame.URL, "app.js") || frame.LineNumber != 7 {
				t.Errorf("the function is at %s:%d", frame.URL, frame.LineNumber)
			}
			return
		}
	}
	t.Errorf("%d samples, none of them in the app's function", len(read.Samples))
}

func TestCPUProfileOfAnIsolateThatEnds(t *testing.T) {
	watchThread(t)
	for i := range 3 {
		app, err := resolve(t, AppOptions{Limits: Limits{CPU: 20 * time.Millisecond}}, "app.js", fmt.Sprintf(`
			export default { fetch() { if (%d) for (;;); else Array.prototype.indexOf.call({length: 2**53 - 1}, 1); } }`, i))
		if err != nil {
			t.Fatal(err)
		}
		isolate, err := startOn(app, -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := isolate.StartProfile(time.Minute); err != nil {
			t.Fatal(err)
		}
		request(t, isolate, 1, get)
		if err := isolate.Turn(); !errors.Is(err, ErrCPULimit) {
			t.Errorf("ended by %v", err)
		}
		drain(isolate)
		isolate.Dispose()
	}
	isolate := startApp(t, unlimited, spinner)
	if isolate.StopProfile() != nil {
		t.Error("a profile that was not started")
	}
	request(t, isolate, 1, get)
	turn(t, isolate)
}
