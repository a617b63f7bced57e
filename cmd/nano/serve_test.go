package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nano/config"
)

type fakeNode struct {
	drains int
	logger *slog.Logger
}

func (n *fakeNode) drain() { n.drains++ }

func (n *fakeNode) report(logger *slog.Logger) { logger.Info("reported") }

func (n *fakeNode) reload() { n.logger.Info("reloaded") }

func (n *fakeNode) logUpgrade() { n.logger.Info("upgraded") }

// TestSupervise gives the signals, in the virtual time of its bubble.
func TestSupervise(t *testing.T) {
	failure := errors.New("a loop failed")
	for _, test := range []struct {
		name    string
		signals []os.Signal
		apart   time.Duration
		ends    bool
		err     error
		drains  int
		log     string
	}{
		{"ends by itself", nil, 0, true, failure, 0, "ended"},
		{"a signal drains", []os.Signal{syscall.SIGTERM}, time.Second, true, nil, 1, "draining signal=terminated"},
		{"a second one ends", []os.Signal{syscall.SIGTERM, syscall.SIGINT}, time.Second, false, errSignal, 1, "draining"},
		{"child and group are signalled", []os.Signal{syscall.SIGTERM, syscall.SIGTERM}, 0, true, nil, 1, "draining"},
		{"a report is no end", []os.Signal{syscall.SIGUSR1, syscall.SIGTERM}, time.Second, true, nil, 1, "reported"},
		{"a reload", []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGHUP}, time.Second, true, nil, 1, "reloaded"},
		{"an upgrade", []os.Signal{syscall.SIGUSR2, syscall.SIGINT}, time.Second, true, nil, 1, "upgraded"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, nil))
			node := &fakeNode{logger: logger}
			signals, ended, result := make(chan os.Signal), make(chan error), make(chan error)
			go func() { result <- supervise(node, signals, ended, logger) }()
			for _, signal := range test.signals {
				time.Sleep(test.apart)
				signals <- signal
			}
			if test.ends {
				ended <- test.err
			}
			if err := <-result; err != test.err || node.drains != test.drains || !strings.Contains(log.String(), test.log) {
				t.Errorf("%s: %v, %d drains, log %s", test.name, err, node.drains, log.String())
			}
		})
	}
}

func TestBanner(t *testing.T) {
	c := config.Default("/")
	addresses := []string{"http://127.0.0.1:8080", "unix:/run/nano.sock"}
	banner := func() string {
		var out bytes.Buffer
		printBanner(&out, slog.New(slog.DiscardHandler), c.Server.Log, c.Apps, addresses)
		return out.String()
	}
	if got, want := banner(), "nano: serving no apps on http://127.0.0.1:8080\nnano: serving no apps on unix:/run/nano.sock\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	addresses = addresses[:1]
	c.Apps = []config.App{{Name: "a", Path: "/"}, {Name: "b", Path: "/b"}, {Name: "c", Path: "/", Hosts: []string{"c.test", "*.c.test"}}, {Name: "d", Path: "/d", Hosts: []string{"d.test"}}}
	if got, want := banner(), "nano: serving a, b (/b), c (c.test *.c.test), d (d.test/d) on http://127.0.0.1:8080\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for i := range 10 {
		c.Apps = append(c.Apps, config.App{Name: fmt.Sprint("app-", i), Path: "/"})
	}
	if got := banner(); !strings.Contains(got, "app-3, 6 more on") {
		t.Errorf("%q", got)
	}
	c.Server.Log = config.LogJSON
	var log bytes.Buffer
	printBanner(&log, slog.New(slog.NewJSONHandler(&log, nil)), c.Server.Log, c.Apps, addresses)
	if got := log.String(); !strings.Contains(got, `"msg":"serving","apps":["a","b"`) || strings.Contains(got, "nano: ") {
		t.Errorf("%q", got)
	}
}

func TestAddresses(t *testing.T) {
	for want, address := range map[string]net.Addr{
		"http://127.0.0.1:80":   &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80},
		"http://[::1]:80":       &net.TCPAddr{IP: net.IPv6loopback, Port: 80},
		"http://localhost:8080": &net.TCPAddr{IP: net.IPv6unspecified, Port: 8080},
		"unix:/run/nano.sock":   &net.UnixAddr{Name: "/run/nano.sock", Net: "unix"},
	} {
		if got := describeAddress(address); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestFileLimit(t *testing.T) {
	files, err := raiseFileLimit()
	if err != nil || files < 256 {
		t.Fatalf("%d files, %v", files, err)
	}
	if what, _ := checkFileLimit(1024, 1024-filesReserved); what != "" {
		t.Error(what)
	}
	if what, cure := checkFileLimit(1024, 1024); what == "" || !strings.Contains(cure, "ulimit -n 1088") {
		t.Errorf("%q, %q", what, cure)
	}
	if lockedMemoryLimit() == "" {
		t.Error("no limit of locked memory")
	}
}

func TestStateDir(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{dir, filepath.Join(dir, "new"), filepath.Join(dir, "new", "deeper")} {
		if err := checkStateDir(good); err != nil {
			t.Error(err)
		}
	}
	if err := checkStateDir(filepath.Join(file, "below")); err == nil || !strings.Contains(err.Error(), "not a") {
		t.Errorf("a folder below a file: %v", err)
	}
	if err := checkStateDir(file); err == nil || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("a file: %v", err)
	}
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := checkStateDir(filepath.Join(locked, "new")); err == nil && os.Getuid() != 0 {
		t.Error("a folder can be made where nothing can be written")
	}
}
