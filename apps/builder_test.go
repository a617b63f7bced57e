package apps

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nano/snapshot"
)

// actAsBuilder makes the test binary behave as a builder that goes wrong in the way it names.
const actAsBuilder = "NANO_TEST_ACT_AS_BUILDER"

// The process's first thread never ends, so no goroutine of a test shall get it.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if how := os.Getenv(actAsBuilder); how != "" {
		actAs(how)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var testImage = snapshot.Encode(snapshot.Key{App: "app"}, []snapshot.Section{{Name: "bundle", Data: []byte("b")}})

// actAs is a builder whose requests say what happens: the name of each is the way in which it ends
// its builder. "well" is answered.
func actAs(how string) {
	if how == "unusable" {
		fmt.Fprintln(os.Stderr, "no memory for V8")
		os.Exit(ExitUnusable)
	}
	if how == "deaf" {
		os.Exit(0)
	}
	if how == "real" || how == "deadly" {
		actForReal()
		return
	}
	err := ServeBuilder(func(r *Request) Reply {
		switch r.Name {
		case "exit":
			os.Exit(0)
		case "kill":
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		case "abort":
			fmt.Fprint(os.Stderr, "\n\n#\n# Fatal error in v8::SnapshotCreator\n# a native function is not known\n#\n#FailureMessage\n")
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		case "panic":
			panic("boom")
		case "hang":
			select {}
		case "once": // dies in the first process that gets it
			if os.Getenv("FLAG") != "" && os.Remove(os.Getenv("FLAG")) == nil {
				os.Exit(1)
			}
		case "print":
			fmt.Println("an app's words on standard output")
		case "problem":
			return Reply{Problem: "a.js:1:1: SyntaxError"}
		case "memory":
			hold := make([]byte, builderDataMax)
			for i := 0; i < len(hold); i += 4096 {
				hold[i] = 1
			}
		case "cpu":
			unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: 1, Max: 60})
			for {
				runtime.KeepAlive(r)
			}
		case "file":
			err := os.WriteFile(os.Getenv("FLAG"), []byte("x"), 0o600)
			return Reply{Problem: fmt.Sprint(err)}
		case "facts":
			priority, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)
			adjust, _ := os.ReadFile("/proc/self/oom_score_adj")
			return Reply{Problem: fmt.Sprintf("%d %d %s", 20-priority, unix.Getpgrp()-os.Getpid(), adjust)}
		}
		return Reply{Reason: r.Warmup, Image: testImage}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// actForReal builds. A request for a snapshot of the app that DEADLY names ends the process.
func actForReal() {
	loaded, err := testRuntime()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(ExitUnusable)
	}
	build := BuildFor(loaded)
	err = ServeBuilder(func(r *Request) Reply {
		if r.Name == os.Getenv("DEADLY") && r.Death == "" {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
		return build(r)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// raw is a child that writes bytes, whatever it is asked.
func raw(t *testing.T, reply []byte) func() *exec.Cmd {
	t.Helper()
	file := t.TempDir() + "/reply"
	if err := os.WriteFile(file, reply, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() *exec.Cmd { return exec.Command("sh", "-c", `cat "$0"; exec cat >&2`, file) }
}

// fakeBuilder has the test binary for its children.
func fakeBuilder(t *testing.T, how string, env ...string) *Builder {
	t.Helper()
	runtime.LockOSThread() // for the children's sake
	b := &Builder{Timeout: patience(t), Command: fakeCommand(t, how, env...)}
	t.Cleanup(func() {
		b.Rest()
		runtime.UnlockOSThread()
	})
	return b
}

// patience is for how long a test waits for what must come. It bounds failures, and measures nothing: children have a low
// priority, so that on a busy machine they may get next to no CPU time.
func patience(t *testing.T) time.Duration {
	t.Helper()
	if end, ok := t.Deadline(); ok {
		return time.Until(end) / 2 // the rest is for those that follow
	}
	return time.Hour
}

func fakeCommand(t *testing.T, how string, env ...string) func() *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func() *exec.Cmd {
		command := exec.Command(self)
		command.Env = append(append(os.Environ(), actAsBuilder+"="+how), env...)
		return command
	}
}

func TestBuilderServesManyBuilds(t *testing.T) {
	b := fakeBuilder(t, "well")
	if !b.IsIdle() {
		t.Error("there is a child before it is needed")
	}
	var first *child
	for i := range 5 {
		reply, err := b.Build(Request{Name: "well", Warmup: fmt.Sprint(i), Bundle: make([]byte, i<<16)})
		if err != nil || reply.Reason != fmt.Sprint(i) || !bytes.Equal(reply.Image, testImage) {
			t.Fatalf("%d: %+v, %v", i, reply, err)
		}
		if first == nil {
			first = b.child
		}
		if b.child != first {
			t.Fatal("a second child")
		}
	}
	if reply, err := b.Build(Request{Name: "problem"}); err != nil || reply.Problem == "" {
		t.Errorf("%+v, %v", reply, err)
	}
	if _, err := b.Build(Request{Name: "print"}); err != nil {
		t.Errorf("what goes to standard output disturbs replies: %v", err)
	}
	b.Rest()
	if !b.IsIdle() || !first.command.ProcessState.Success() {
		t.Errorf("a child at rest: %v", first.command.ProcessState)
	}
	if _, err := b.Build(Request{Name: "well"}); err != nil || b.child == first {
		t.Errorf("after the rest: %v", err)
	}
}

// TestBuilderOutlivesItsChildren: each way to end a child is told, and the next app has a new one.
func TestBuilderOutlivesItsChildren(t *testing.T) {
	b := fakeBuilder(t, "well")
	for name, want := range map[string]string{
		"exit":   "the snapshot builder ended",
		"kill":   "the snapshot builder died: signal: killed",
		"abort":  "signal: killed: Fatal error in v8::SnapshotCreator: a native function is not known",
		"panic":  "exit status 2: panic: boom",
		"memory": "died",
		"cpu":    "of CPU time for one app",
	} {
		_, err := b.Build(Request{Name: name})
		var death *DeathError
		if !errors.As(err, &death) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if reply, err := b.Build(Request{Name: "well"}); err != nil || !bytes.Equal(reply.Image, testImage) {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

// TestBuilderDiesByChance: an app whose builder died is built again by another one.
func TestBuilderDiesByChance(t *testing.T) {
	flag := t.TempDir() + "/flag"
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := fakeBuilder(t, "well", "FLAG="+flag)
	if _, err := b.Build(Request{Name: "once"}); err != nil {
		t.Error(err)
	}
	// Between two builds, too.
	if err := b.child.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Build(Request{Name: "well"}); err != nil {
		t.Error(err)
	}
}

func TestBuilderTimesOut(t *testing.T) {
	b := fakeBuilder(t, "well")
	if _, err := b.Build(Request{Name: "well"}); err != nil {
		t.Fatal(err)
	}
	b.Timeout = 50 * time.Millisecond
	if _, err := b.Build(Request{Name: "hang"}); !errors.Is(err, errTimeout) || !b.IsIdle() {
		t.Errorf("%v", err)
	}
	b.Timeout = patience(t)
	if _, err := b.Build(Request{Name: "well"}); err != nil {
		t.Error(err)
	}
}

func TestBuilderThatCannotStart(t *testing.T) {
	for name, b := range map[string]*Builder{
		"unusable": fakeBuilder(t, "unusable"),
		"absent":   {Command: func() *exec.Cmd { return exec.Command("/none") }},
	} {
		_, err := b.Build(Request{Name: "well"})
		var death *DeathError
		if !errors.Is(err, errStart) || errors.As(err, &death) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "unusable" && !strings.Contains(err.Error(), "no memory for V8") {
			t.Errorf("no reason: %v", err)
		}
	}
	var death *DeathError
	if _, err := fakeBuilder(t, "deaf").Build(Request{Name: "well"}); !errors.As(err, &death) {
		t.Errorf("a child that only ends: %v", err)
	}
}

func TestMalformedReplies(t *testing.T) {
	frame := func(object any, payload []byte) []byte {
		var buffer bytes.Buffer
		if err := writeFrame(&buffer, object, payload); err != nil {
			t.Fatal(err)
		}
		return buffer.Bytes()
	}
	damaged := append([]byte(nil), testImage...)
	damaged[len(damaged)-1] ^= 1
	good := frame(Reply{ID: 1}, testImage)
	for name, reply := range map[string][]byte{
		"nothing":            {},
		"text":               []byte("V8 says something on the wrong file\n"),
		"half a head":        good[:6],
		"half an object":     good[:15],
		"half an image":      good[:len(good)-10],
		"not JSON":           append(append([]byte{}, good[:12]...), bytes.Repeat([]byte("x"), len(good)-12)...),
		"another request's":  frame(Reply{ID: 7}, testImage),
		"no image":           frame(Reply{ID: 1}, nil),
		"image and problem":  frame(Reply{ID: 1, Problem: "x"}, testImage),
		"damaged image":      frame(Reply{ID: 1}, damaged),
		"too long an object": {'N', 'B', 'L', 'D', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"too long an image":  {'N', 'B', 'L', 'D', 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
		"a long image":       {'N', 'B', 'L', 'D', 2, 0, 0, 0, 0, 0, 0, 0x30, '{', '}', 1, 2, 3},
	} {
		b := &Builder{Command: raw(t, reply)}
		var death *DeathError
		if got, err := b.Build(Request{Name: "a"}); !errors.As(err, &death) || !b.IsIdle() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	b := &Builder{Command: raw(t, good)}
	if got, err := b.Build(Request{Name: "a"}); err != nil || !bytes.Equal(got.Image, testImage) {
		t.Errorf("a good reply: %v", err)
	}
	b.Rest()
}

// TestBuilderIsConfined: a child can write no files, has a low priority, is in no group of ours, and
// the kernel's first choice when memory runs out.
func TestBuilderIsConfined(t *testing.T) {
	b := fakeBuilder(t, "well", "FLAG="+t.TempDir()+"/file")
	reply, err := b.Build(Request{Name: "file"})
	if err != nil || !strings.Contains(reply.Problem, "file too large") {
		t.Errorf("%+v, %v", reply, err)
	}
	reply, err = b.Build(Request{Name: "facts"})
	if err != nil || strings.TrimSpace(reply.Problem) != "10 0 1000" {
		t.Errorf("%+v, %v", reply, err)
	}
}

// TestBuilderDiesWithItsThread: the kernel ends the child when the thread is gone that started it.
func TestBuilderDiesWithItsThread(t *testing.T) {
	started := make(chan *child)
	b := &Builder{Timeout: patience(t), Command: fakeCommand(t, "well")}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if _, err := b.Build(Request{Name: "well"}); err != nil {
			t.Error(err)
		}
		started <- b.child
	}()
	c := <-started
	if c == nil {
		t.Fatal("no child")
	}
	timer := time.AfterFunc(patience(t), func() { c.command.Process.Signal(unix.SIGTERM) })
	defer timer.Stop()
	if err := c.command.Wait(); c.command.ProcessState.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
		t.Errorf("%v", err)
	}
}

func TestServeBuilderRefusesGarbage(t *testing.T) {
	never := func(*Request) Reply { t.Error("asked"); return Reply{} }
	if err := serveBuilder(strings.NewReader(""), io.Discard, never); err != nil {
		t.Errorf("no request: %v", err)
	}
	for _, garbage := range []string{"x", "NBLD", "GET / HTTP/1.1\r\n\r\n", "NBLD\x02\x00\x00\x00\x05\x00\x00\x00{}abc"} {
		if err := serveBuilder(strings.NewReader(garbage), io.Discard, never); err == nil {
			t.Errorf("%q is taken", garbage)
		}
	}
}

func TestFatalLine(t *testing.T) {
	for stderr, want := range map[string]string{
		"":                           "",
		"\n panic: x\ngoroutine 1\n": "panic: x",
		"# Fatal error in f\n# Check failed: a.\n#\n#FailureMessage Object: 0x7f\n": "Fatal error in f: Check failed: a.",
	} {
		if got := fatalLine(stderr); got != want {
			t.Errorf("%q: %q", stderr, got)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	var buffer bytes.Buffer
	if err := writeFrame(&buffer, Reply{ID: 1, Reason: "r"}, []byte("image")); err != nil {
		f.Fatal(err)
	}
	f.Add(buffer.Bytes())
	f.Add([]byte("NBLD"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var reply Reply
		payload, err := readFrame(bytes.NewReader(data), &reply)
		if err == nil && len(payload) > len(data) {
			t.Fatalf("%d bytes of %d", len(payload), len(data))
		}
	})
}

func TestDeathsThatWillComeAgain(t *testing.T) {
	for death, want := range map[string]bool{
		"the snapshot builder died: exit status 2: nano: V8: :0: Check failed: !serializer_->SerializePendingObject(*slot_value).": true,
		"the snapshot builder died: signal: killed":                                             false,
		"the snapshot builder died: exit status 2: nano: V8: out of memory: Reached heap limit": false,
		"building it takes too long":                                                            false,
	} {
		if got := isOfTheApp(death); got != want {
			t.Errorf("%q: %t", death, got)
		}
	}
}
