package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal of a size, for a program, and what a person at it types and sees.
func openTerminal(t *testing.T, columns, rows uint16) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { program.Close() })
	if err := unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
	return person, program
}

// TestTopLive looks at top as a person does: it draws, sorts by what is typed, and leaves the terminal as it was.
func TestTopLive(t *testing.T) {
	person, program := openTerminal(t, 60, 12)
	before, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	configuration := serveDesk(t, &deskNode{}, nil)
	isJSON, none := false, ""
	c, err := (&target{config: &configuration, url: &none, tokenFile: &none, json: &isJSON}).connect()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1000)
	go func() {
		defer close(seen)
		piece := make([]byte, 4096)
		for {
			n, err := person.Read(piece)
			if err != nil {
				return
			}
			seen <- string(piece[:n])
		}
	}()
	all := ""
	waitFor := func(text string) {
		t.Helper()
		limit := time.After(patience)
		for !strings.Contains(all, text) {
			select {
			case piece := <-seen:
				all += piece
			case <-limit:
				t.Fatalf("no %q in %q", text, all)
			}
		}
		_, all, _ = strings.Cut(all, text)
	}
	ended := make(chan error, 1)
	live := &top{client: c, interval: topIntervalMin, order: topOrders["cpu"]}
	go func() { ended <- live.live(context.Background(), program, program) }()
	waitFor(enterScreen)
	waitFor("2 apps, 1 warm")
	waitFor("warm  busy")
	waitFor("idle") // with the least CPU it is last
	io.WriteString(person, "n")
	waitFor(screenStart)
	io.WriteString(person, "q")
	waitFor(leaveScreen)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	after, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is left as %+v, %v", after, err)
	}
}
