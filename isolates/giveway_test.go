package isolates

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nano/isolates/shim"
)

// TestGiveWay: a thread gives way again and again while it works, in Go as in C, and no more once it is about to wait.
func TestGiveWay(t *testing.T) {
	done := make(chan struct{})
	go func() { // the thread ends with the goroutine, which stays locked
		defer close(done)
		runtime.LockOSThread()
		for round := range 2 {
			before := shim.GaveWay()
			GiveWay(true)
			for shim.GaveWay() < before+3 {
			}
			GiveWay(false)
			end := shim.GaveWay()
			// The last signal may still come; a timer that went on would come many times.
			if err := sleepThread(); err != nil {
				t.Error(err)
			}
			if after := shim.GaveWay(); after > end+1 {
				t.Errorf("round %d: a thread that waits gave way %d times", round, after-end)
			}
		}
	}()
	<-done
}

// sleepThread has the calling thread wait in the kernel, whatever signals come.
func sleepThread() error {
	rest := unix.Timespec{Nsec: 5_000_000}
	for {
		err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &rest, &rest)
		if err != unix.EINTR {
			return err
		}
	}
}

// TestWorkersGiveWay: so does V8's own thread when it compiles for an app, which is on no bill.
func TestWorkersGiveWay(t *testing.T) {
	if _, err := os.Stat("/proc/self/timers"); err != nil {
		t.Skip("the kernel does not list timers:", err)
	}
	isolate := startApp(t, unlimited, `
		const step = (sum, n) => (sum * 31 + n) | 0;
		export default { fetch() {
			let sum = 0;
			for (let n = 0; n < 10_000; n++) sum = step(sum, n);
			return new Response(String(sum));
		} }`)
	for range 20_000 {
		if workerHasTimer(t) {
			return
		}
		fetch(t, isolate, get)
	}
	t.Error("V8's thread has no timer for giving way, though an app was hot")
}

var timerThread = regexp.MustCompile(`(?m)^notify: signal/tid\.(\d+)$`)

// workerHasTimer reports whether there is a timer that signals a thread of V8's.
func workerHasTimer(t *testing.T) bool {
	timers, err := os.ReadFile("/proc/self/timers")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range timerThread.FindAllSubmatch(timers, -1) {
		name, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%s/comm", thread[1]))
		if err == nil && strings.HasPrefix(string(name), "V8 ") {
			return true
		}
	}
	return false
}
