package isolates

import (
	"runtime"
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
