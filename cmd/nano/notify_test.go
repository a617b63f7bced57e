package main

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServiceManager runs a node as systemd does, and listens to what it says of itself.
func TestServiceManager(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"a.js":      "export default { fetch() { return new Response('a') } }",
		"nano.toml": "[server]\nlisten = [\"127.0.0.1:0\"]\nloops = 2\n[[app]]\nname = \"a\"\nmain = \"a.js\"\n",
	})
	address := filepath.Join(folder, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	command := nanoCommand(t, "serve", "-c", filepath.Join(folder, "nano.toml"))
	command.Env = append(command.Env, "NOTIFY_SOCKET="+address, "WATCHDOG_USEC=600000", "WATCHDOG_PID=")
	p := startCommand(t, 1, command)

	message := make([]byte, 4096)
	waitFor := func(first, status string) {
		t.Helper()
		socket.SetReadDeadline(time.Now().Add(patience))
		for {
			n, err := socket.Read(message)
			if err != nil {
				t.Fatalf("%s %s: %v", first, status, err)
			}
			got, rest, _ := strings.Cut(string(message[:n]), "\n")
			if got == first && strings.HasPrefix(rest, "STATUS="+status) {
				return
			}
		}
	}
	waitFor("EXTEND_TIMEOUT_USEC=30000000", "starting 1 app")
	waitFor("READY=1", "1 app, 2 loops, 0 requests, ")
	p.expect("GET", "/", "a.test", "", 200, "a")
	waitFor("WATCHDOG=1", "1 app, 2 loops, 1 request, 0 with a 5xx answer, ")
	p.signal(syscall.SIGTERM)
	waitFor("STOPPING=1", "draining")
	if exit := p.waitForExit(); exit != 0 {
		t.Errorf("exit code %d", exit)
	}
}
