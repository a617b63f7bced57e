package logs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const patience = 10 * time.Second

// sink is a writer that holds back what it gets until it is let go.
type sink struct {
	entered chan struct{} // a Write has begun
	release chan struct{} // closed: writes go through

	mutex   sync.Mutex
	written bytes.Buffer
}

// newSink makes one that is open.
func newSink() *sink {
	s := newStuckSink()
	close(s.release)
	return s
}

func newStuckSink() *sink {
	return &sink{entered: make(chan struct{}, 1000), release: make(chan struct{})}
}

func (s *sink) Write(p []byte) (int, error) {
	s.entered <- struct{}{}
	<-s.release
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.written.Write(p)
}

func (s *sink) text() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.written.String()
}

func (s *sink) lines() []string {
	return strings.SplitAfter(strings.TrimSuffix(s.text(), "\n"), "\n")
}

func entry(app, text string) *Entry { return &Entry{App: app, Text: []byte(text)} }

var stamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z `)

// unstamped is a line of text without its time.
func unstamped(t *testing.T, line string) string {
	t.Helper()
	if !stamp.MatchString(line) {
		t.Fatalf("%q does not begin with a time", line)
	}
	return line[25:]
}

func TestText(t *testing.T) {
	to := newSink()
	log := New(Options{To: to})
	logger := slog.New(log.Handler())
	logger.Warn("two\nlines\x1b[31m\u009b\u202e\tred\u2028", "app", "hello", "key", "a \"value\"")
	logger.With("a", 1).WithGroup("g").Info("message", "b", time.Second, "app", "in a group")
	log.App(&Entry{App: "hello", Version: "0123456789ab", Request: 0xbeef, Level: slog.LevelError,
		Text: []byte("Error: x\n    at f (src/a.ts:1:2)\n"), Source: []byte("src/a.ts:1:2")})
	log.App(&Entry{App: "hello", Text: []byte("text"), Source: []byte("a \"b\nc\":1:2")})
	log.Close(patience)
	want := []string{
		"WARN hello: two key=\"a \\\"value\\\"\"\n", "    lines\\x1b[31m\\x9b\\u202e\tred\\u2028\n",
		"INFO message a=\"1\" g.b=\"1s\" g.app=\"in a group\"\n",
		"ERROR hello: Error: x version=0123456789ab request=000000000000beef source=src/a.ts:1:2\n", "        at f (src/a.ts:1:2)\n",
		"INFO hello: text source=\"a \\\"b\\nc\\\":1:2\"",
	}
	for i, line := range to.lines() {
		if !strings.HasPrefix(line, " ") {
			line = unstamped(t, line)
		}
		if i >= len(want) || line != want[i] {
			t.Errorf("line %d is %q", i, line)
		}
	}
}

func TestTerminal(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 12, 8, 123e6, time.Local)
	line := Line{Time: at, Level: slog.LevelWarn, App: "a", Text: "x", Request: 1}
	if got, want := string(line.AppendText(nil, true, false)), "09:12:08.123 WARN  a: x request=0000000000000001\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := string(line.AppendText([]byte("> "), true, true)),
		"> \x1b[2m09:12:08.123\x1b[0m \x1b[33mWARN \x1b[0m \x1b[1ma:\x1b[0m x\x1b[2m request=0000000000000001\x1b[0m\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := string((&Line{Dropped: 2}).AppendText(nil, false, false)); !strings.Contains(got, "2 lines missing") {
		t.Errorf("%q", got)
	}
}

func TestJSON(t *testing.T) {
	to := newSink()
	log := New(Options{Form: FormJSON, To: to})
	log.App(&Entry{App: "hello", Version: "v", Request: 0xbeef, Level: slog.LevelDebug, Text: []byte("a\n{\"b\"}\x1b"), Source: []byte("a.ts:1:2")})
	slog.New(log.Handler()).Error("text", "app", "hello")
	log.Close(patience)
	lines := to.lines()
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	_, rest, _ := strings.Cut(lines[0], `,"level"`)
	if want := `:"DEBUG","msg":"a\n{\"b\"}\u001b","app":"hello","version":"v","request":"000000000000beef","source":"a.ts:1:2"}` + "\n"; rest != want {
		t.Errorf("%q, want %q", rest, want)
	}
	var line Line
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line.Request != 0xbeef || line.Text != "a\n{\"b\"}\x1b" || line.Level != slog.LevelDebug || line.Time.IsZero() {
		t.Errorf("%+v", line)
	}
	again, err := json.Marshal(line)
	if err != nil || !strings.HasSuffix(string(again), rest[:len(rest)-1]) {
		t.Errorf("%s, %v", again, err)
	}
	if !strings.Contains(lines[1], `"level":"ERROR","msg":"text","app":"hello"}`) {
		t.Errorf("%q", lines[1])
	}
}

// TestFloodIsTheAppsOwn: of an app that logs without end lines are dropped, and counted; of its
// neighbours none, and they come at once.
func TestFloodIsTheAppsOwn(t *testing.T) {
	to := newSink()
	log := New(Options{To: to})
	const flood, neighbours = 200_000, 50
	var ended sync.WaitGroup
	ended.Go(func() {
		for i := range flood {
			log.App(entry("flood", fmt.Sprintf("line %d", i)))
		}
	})
	ended.Go(func() {
		for i := range neighbours {
			log.App(entry(fmt.Sprintf("quiet-%d", i%7), fmt.Sprintf("mine %d", i)))
		}
	})
	ended.Wait()
	log.Close(patience)
	text := to.text()
	if got := strings.Count(text, ": mine "); got != neighbours {
		t.Errorf("%d lines of the neighbours, want %d", got, neighbours)
	}
	got := strings.Count(text, "flood: line ")
	if got < RateDefault || got > 10*RateDefault {
		t.Errorf("%d lines of the flood", got)
	}
	told := 0
	for _, match := range regexp.MustCompile(`WARN flood: (\d+) lines dropped: the app logs more than its log_rate of 1000 `).FindAllStringSubmatch(text, -1) {
		var lines int
		fmt.Sscan(match[1], &lines)
		told += lines
	}
	if got+told != flood {
		t.Errorf("%d lines and %d dropped, want %d", got, told, flood)
	}
}

// TestReaderThatHasStopped: nobody waits for it, what an app can lose is what it has a share of, and what was
// lost is told when there is room again.
func TestReaderThatHasStopped(t *testing.T) {
	to := newStuckSink()
	log := New(Options{To: to})
	log.App(entry("first", "first"))
	<-to.entered // the writer holds the first line now
	long := strings.Repeat("x", 60<<10)
	const lines = 2 * queuedBytesMax / (60 << 10)
	for range lines {
		log.App(&Entry{App: "flood", Text: []byte(long), Rate: 1_000_000})
		if len(log.wake) != 0 {
			time.Sleep(time.Microsecond) // lets the goroutine go on: only the reader is slow here
		}
	}
	log.App(entry("quiet", "mine"))
	if _, dropped := log.Access().Append([]byte("access\n"), 1); dropped != 0 {
		t.Errorf("access: %d dropped", dropped)
	}
	log.Close(time.Millisecond) // though nobody reads
	close(to.release)
	<-log.done
	log.output.close(time.After(patience))
	text := to.text()
	for _, want := range []string{"first: first\n", "quiet: mine\n", "access\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is lost", want)
		}
	}
	kept := strings.Count(text, long)
	if kept == 0 || kept*len(long) > 2*queuedBytesMax/queueShare { // in the queue, and for the reader
		t.Errorf("%d of %d lines of the flood", kept, lines)
	}
	if want := fmt.Sprintf("WARN flood: %d lines dropped: this log is read too slowly", lines-kept); !strings.Contains(text, want) {
		t.Errorf("nobody says: %s", want)
	}
}

func TestAccessLinesThatAreLost(t *testing.T) {
	to := newStuckSink()
	log := New(Options{To: to})
	access := log.Access()
	access.Append([]byte("first\n"), 1)
	<-to.entered
	line := strings.Repeat("x", 1<<20-1) + "\n"
	for range queuedBytesMax / len(line) {
		if _, dropped := access.Append([]byte(line), 1); dropped != 0 {
			t.Fatalf("%d dropped", dropped)
		}
	}
	for range 3 {
		if next, dropped := access.Append([]byte("too much\nby two lines\n"), 2); dropped != 2 || len(next) != 0 {
			t.Errorf("%d dropped, %d bytes given", dropped, len(next))
		}
	}
	log.App(entry("hello", "is not lost"))
	close(to.release)
	log.Close(patience)
	text := to.text()
	if !strings.HasPrefix(text, "first\n") || strings.Count(text, line) != queuedBytesMax/len(line) || strings.Contains(text, "too much") {
		t.Errorf("%d bytes", len(text))
	}
	for _, want := range []string{"WARN 6 lines of the access log dropped", "hello: is not lost\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q", want)
		}
	}
}

// TestAccessLinesOfManyLoops: lines of all come out whole, each loop's in their order, whether they come one by one or
// many at a time; and buffers that lie about half empty are filled before there are more.
func TestAccessLinesOfManyLoops(t *testing.T) {
	to := newStuckSink()
	log := New(Options{To: to})
	access := log.Access()
	const loops, rounds = 4, 200
	var group sync.WaitGroup
	for number := range loops {
		group.Go(func() {
			var buffer []byte
			next := 0
			for round := range rounds {
				if buffer == nil {
					buffer = make([]byte, 0, 4<<10)
				}
				count := 1 + round%7
				for range count {
					buffer = fmt.Appendf(buffer, "%d %d\n", number, next)
					next++
				}
				var dropped int
				if buffer, dropped = access.Append(buffer, count); dropped != 0 || len(buffer) != 0 {
					t.Errorf("%d dropped, %d bytes given", dropped, len(buffer))
				}
			}
		})
	}
	group.Wait()
	log.output.mutex.Lock()
	if most := 2*loops*rounds*40/(4<<10) + loops; len(log.output.lines.buffers) > most {
		t.Errorf("%d buffers, want %d at most", len(log.output.lines.buffers), most)
	}
	log.output.mutex.Unlock()
	close(to.release)
	log.Close(patience)
	var next [loops]int
	for _, line := range to.lines() {
		var number, count int
		if _, err := fmt.Sscanf(line, "%d %d\n", &number, &count); err != nil || count != next[number] {
			t.Fatalf("%q, want %d of it: %v", line, next[number], err)
		}
		next[number]++
	}
	for number, count := range next {
		if want := rounds / 7 * 28; count < want {
			t.Errorf("%d lines of loop %d, want %d at least", count, number, want)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	to := newSink()
	log := New(Options{To: to})
	log.App(entry("hello", strings.Repeat("é", TextMax)))
	log.Close(patience)
	text := strings.TrimSuffix(to.text(), "\n")
	if !strings.HasSuffix(text, fmt.Sprintf("é… (%d bytes more)", TextMax)) || len(text) > TextMax+100 {
		t.Errorf("%d bytes, …%q", len(text), text[len(text)-40:])
	}
}

func TestLimiter(t *testing.T) {
	var l limiter
	take := func(now time.Duration, cost int) (lines int) {
		for l.take(now, 100, cost) {
			lines++
		}
		return lines
	}
	for _, step := range []struct {
		at   time.Duration
		cost int
		want int
	}{
		{0, 1, 200}, {10 * time.Millisecond, 1, 1}, {time.Second, 1, 99}, {time.Hour, 1, 200},
		// The bytes of two seconds, and one line more.
		{2 * time.Hour, 100 * lineBytes, 3}, {2*time.Hour + 500*time.Millisecond, 1, 0}, {3 * time.Hour, 1000 * lineBytes, 1},
	} {
		if got := take(step.at, step.cost); got != step.want {
			t.Errorf("at %v: %d lines of %d bytes, want %d", step.at, got, step.cost, step.want)
		}
	}
	var slow limiter
	if !slow.take(0, 1, TextMax) || slow.take(0, 1, 1) {
		t.Error("one line, and then none")
	}
}

// TestManyNames: names of apps that come and go do not pile up.
func TestManyNames(t *testing.T) {
	log := New(Options{To: newSink()})
	for i := range 3 * appsMax * queueCount {
		log.App(entry(fmt.Sprintf("app-%d", i), ""))
	}
	log.Close(patience)
	for i := range log.queues {
		if n := len(log.queues[i].apps); n > appsMax {
			t.Errorf("queue %d knows %d apps", i, n)
		}
	}
}

// TestNoAllocation: what a loop calls makes no garbage once the queues have their size.
func TestNoAllocation(t *testing.T) {
	q := Log{wake: make(chan struct{}, 1), began: time.Now()}
	for i := range q.queues {
		q.queues[i].apps = map[string]*appLog{}
		q.queues[i].entries = make([]queued, 0, 2000)
		q.queues[i].texts = make([]byte, 0, 1<<20)
	}
	q.seed = New(Options{To: newSink()}).seed
	e := entry("hello", "some text")
	q.App(e)
	if allocations := testing.AllocsPerRun(1000, func() { q.App(e) }); allocations != 0 {
		t.Errorf("%v allocations for a line", allocations)
	}
}

func BenchmarkApp(b *testing.B) {
	log := New(Options{To: newSink()})
	defer log.Close(patience)
	e := &Entry{App: "hello", Text: []byte("a line as apps write it, of some length"), Source: []byte("src/index.ts:12:5"), Rate: 1_000_000}
	for b.Loop() {
		log.App(e)
	}
}

// TestAccessBuffersAreLeft: what a slow reader has made wait is garbage once it is written, but for a few buffers.
func TestAccessBuffersAreLeft(t *testing.T) {
	to := newStuckSink()
	log := New(Options{To: to})
	defer log.Close(patience)
	access := log.Access()
	access.Append([]byte("first\n"), 1)
	<-to.entered
	const size, count = 64 << 10, 4 * accessSparesMax
	var left atomic.Int64
	for range count {
		lines := bytes.Repeat([]byte{'\n'}, size)
		left.Add(1)
		runtime.AddCleanup(&lines[0], func(n int64) { left.Add(-n) }, 1)
		if _, dropped := access.Append(lines, size); dropped != 0 {
			t.Fatalf("%d lines dropped", dropped)
		}
	}
	close(to.release)
	for deadline := time.Now().Add(patience); left.Load() > accessSparesMax; runtime.Gosched() {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatalf("%d buffers of %d are left, want %d at most", left.Load(), count, accessSparesMax)
		}
	}
}
