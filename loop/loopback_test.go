package loop

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func congestionControl(t *testing.T, fd int) string {
	t.Helper()
	name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestLoopbackIsNotPaced: what is accepted or dialed over loopback does not pace, and anything else has what the
// machine has as its default.
func TestLoopbackIsNotPaced(t *testing.T) {
	plain, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(plain)
	byDefault := congestionControl(t, plain)
	local := byDefault
	if pacesByDefault() {
		local = unpacedControl
	}
	for address, want := range map[string]string{"127.0.0.1": local, "127.1.2.3": local, "0.0.0.0": byDefault} {
		fd, err := bindTCP(&net.TCPAddr{IP: net.ParseIP(address)}, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := congestionControl(t, fd); got != want {
			t.Errorf("a listener on %s has %s, want %s", address, got, want)
		}
		unix.Close(fd)
	}
	for address, want := range map[string]string{"127.0.0.1": local, "::ffff:127.0.0.1": local, "192.0.2.1": byDefault} {
		fd, errno := kernelSockets{}.open(netip.MustParseAddr(address), false)
		if errno != 0 {
			t.Skip(errno) // no IPv6
		}
		if got := congestionControl(t, fd); got != want {
			t.Errorf("a connection to %s has %s, want %s", address, got, want)
		}
		unix.Close(fd)
	}
}
