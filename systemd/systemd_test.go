package systemd

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// listen is a service manager's socket; messages gives what has come.
func listen(t *testing.T) (next func() string) {
	t.Helper()
	address := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	return func() string {
		t.Helper()
		message := make([]byte, 4096)
		socket.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := socket.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:n])
	}
}

// TestLife goes through what a node says from its start to its end.
func TestLife(t *testing.T) {
	next := listen(t)
	t.Setenv("WATCHDOG_USEC", "30000000")
	t.Setenv("WATCHDOG_PID", "")
	m := New()
	m.Report = func(err error) { t.Error(err) }
	want := func(text string) {
		t.Helper()
		if got := next(); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	done := m.Starting(time.Minute, "builds")
	want("EXTEND_TIMEOUT_USEC=30000000\nSTATUS=builds")
	done()
	m.Ready("serves\n2  apps")
	want("READY=1\nSTATUS=serves 2 apps")
	m.Reloading("reloads")
	lines := strings.Split(next(), "\n")
	if len(lines) != 3 || lines[0] != "RELOADING=1" || !strings.HasPrefix(lines[1], "MONOTONIC_USEC=") || lines[2] != "STATUS=reloads" {
		t.Errorf("got %q", lines)
	}
	m.HandOver(17)
	want("MAINPID=17")
	m.Stopping("drains")
	want("STOPPING=1\nSTATUS=drains")
}

// TestWatchdog: no ping without life, and the status all the same.
func TestWatchdog(t *testing.T) {
	next := listen(t)
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("WATCHDOG_PID", "")
	answers := make(chan bool, 3)
	answers <- true
	answers <- false
	answers <- true
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		New().Watch(ctx, func(ctx context.Context) (string, bool) {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("nothing bounds the question")
			}
			select {
			case alive := <-answers:
				return map[bool]string{true: "well", false: "stuck"}[alive], alive
			case <-ctx.Done():
				return "late", false
			}
		})
	}()
	for _, want := range []string{"WATCHDOG=1\nSTATUS=well", "STATUS=stuck", "WATCHDOG=1\nSTATUS=well", "STATUS=late"} {
		if got := next(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	cancel()
	<-ended
}

// TestOtherProcess: a watchdog that watches another process is not ours to ping, but whoever takes over pings it.
func TestOtherProcess(t *testing.T) {
	next := listen(t)
	t.Setenv("WATCHDOG_USEC", "300000")
	t.Setenv("WATCHDOG_PID", "1")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		New().Watch(ctx, func(context.Context) (string, bool) { return "well", true })
	}()
	if got := next(); got != "STATUS=well" {
		t.Errorf("got %q", got)
	}
	cancel()
	<-ended
	if got := Environment([]string{"A=1", "WATCHDOG_PID=1", "NOTIFY_SOCKET=/x", "WATCHDOG_USEC=5"}); !slices.Equal(got, []string{"A=1", "NOTIFY_SOCKET=/x", "WATCHDOG_USEC=5"}) {
		t.Errorf("passed on: %q", got)
	}
}

// TestNobodyListens: without a manager nothing happens, and one that does not listen is reported.
func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m := New()
	m.Report = func(err error) { t.Error(err) }
	m.Starting(time.Minute, "")()
	m.Ready("")
	m.Watch(t.Context(), func(context.Context) (string, bool) { t.Error("asked"); return "", false })

	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "absent"))
	m = New()
	reported := 0
	m.Report = func(err error) { reported++ }
	m.Ready("")
	if reported != 1 {
		t.Errorf("%d reports", reported)
	}
}
