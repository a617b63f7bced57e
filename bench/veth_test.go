package main

import (
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCoreMask(t *testing.T) {
	for list, want := range map[string]string{
		"0": "00000001", "1": "00000002", "0,3": "00000009", "1-3,5": "0000002e", "32": "00000001,00000000", "31,64": "00000001,00000000,80000000",
	} {
		if got, err := coreMask(list); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", list, got, err, want)
		}
	}
	for _, list := range []string{"", "a", "1,", "1-b"} {
		if got, err := coreMask(list); err == nil {
			t.Errorf("%q: %s", list, got)
		}
	}
}

func TestParseBusy(t *testing.T) {
	content := []byte("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 10 20 30 4000 5000 60 70 80 90 100\ncpu1 1 0 0 9 9 0 0 0 0 0\ncpu10 5 0 0 0 0 0 0 0 0 0\nintr 1\n")
	for list, want := range map[string]time.Duration{"0": 270 * tick, "1": tick, "10": 5 * tick, "0-1": 271 * tick} {
		if got, err := parseBusy(content, list); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", list, got, err, want)
		}
	}
	if got, err := parseBusy(content, "2"); err == nil {
		t.Errorf("a core that is not there: %s", got)
	}
	if _, err := readBusy("0"); err != nil {
		t.Error(err)
	}
}

// TestVeth: what is in the namespace is reached, and nothing is left of the network.
func TestVeth(t *testing.T) {
	if reason := vethMissing(); reason != "" {
		t.Skip(reason)
	}
	v, err := openVeth(t.Context(), "0", "0")
	if err != nil && (strings.Contains(err.Error(), "Operation not permitted") || strings.Contains(err.Error(), "Read-only")) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Nobody listens there, and whoever is there says so.
	connection, err := net.Dial("tcp", vethServer+":1")
	if err == nil {
		connection.Close()
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the other end: %v", err)
	}
	if output, err := exec.Command(v.inside([]string{"ls"})[0], v.inside([]string{"ls", "/sys/class/net"})[1:]...).Output(); err != nil ||
		!strings.Contains(string(output), v.namespace+"s") {
		t.Errorf("in the namespace: %q, %v", output, err)
	}
	if err := v.close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) { // the kernel removes it by the way
		if _, err := net.InterfaceByName(v.namespace + "c"); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the device is still there")
		}
	}
}
