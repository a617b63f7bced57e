package uring

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAddressesThereAndBack(t *testing.T) {
	for _, text := range []string{"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:443", "[2001:db8::7]:1", "[::ffff:10.0.0.1]:53"} {
		address := netip.MustParseAddrPort(text)
		raw := AppendAddress(nil, address)
		if len(raw) > AddressMax {
			t.Errorf("%s: %d bytes", text, len(raw))
		}
		if got, ok := ParseAddress(raw); !ok || got != address {
			t.Errorf("%s: got %v, %v", text, got, ok)
		}
		for cut := range raw {
			if got, ok := ParseAddress(raw[:cut]); ok && cut < unix.SizeofSockaddrInet4 {
				t.Errorf("%s cut to %d bytes: %v", text, cut, got)
			}
		}
	}
	if got, ok := ParseAddress([]byte{unix.AF_UNIX, 0, '/', 's'}); ok {
		t.Errorf("a unix socket: %v", got)
	}
}

// connectTo connects a new socket by the ring and returns what came of it.
func connectTo(t *testing.T, r *KernelRing, kind int, address netip.AddrPort) (fd int, result int32) {
	t.Helper()
	family := unix.AF_INET
	if address.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	raw := AppendAddress(make([]byte, 0, AddressMax), address)
	r.Connect(7, fd, raw)
	return fd, expect(t, r, 7).Result
}

func TestConnectReachesAListener(t *testing.T) {
	r := smallRing(t)
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", host)
		if err != nil {
			t.Logf("%s: %v", host, err)
			continue
		}
		defer listener.Close()
		fd, result := connectTo(t, r, unix.SOCK_STREAM, listener.Addr().(*net.TCPAddr).AddrPort())
		if result != 0 {
			t.Fatalf("%s: %s", host, resultName(result))
		}
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		write(t, fd, []byte("hello"))
		got := make([]byte, 5)
		if _, err := accepted.Read(got); err != nil || string(got) != "hello" {
			t.Errorf("%s: got %q, %v", host, got, err)
		}
	}
}

func TestConnectIsRefused(t *testing.T) {
	r := smallRing(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().(*net.TCPAddr).AddrPort()
	listener.Close()
	if _, result := connectTo(t, r, unix.SOCK_STREAM, address); result != -int32(unix.ECONNREFUSED) {
		t.Errorf("got %s", resultName(result))
	}
}

// A full backlog leaves the handshakes of further clients without an answer: the nearest that one
// machine has to a host that is silent.
func TestPendingConnectIsCancelled(t *testing.T) {
	r := smallRing(t)
	silent, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(silent)
	if err := unix.Bind(silent, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(silent, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(silent)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*unix.SockaddrInet4).Port))
	for range 10 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, name); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	raw := AppendAddress(make([]byte, 0, AddressMax), address)
	r.Connect(7, fd, raw)
	expectNothing(t, r)
	r.Cancel(8, 7)
	all := await(t, r, 2)
	if c := find(t, all, 7); c.Result != -int32(unix.ECANCELED) && c.Result != -int32(unix.EINTR) {
		t.Errorf("connect: %s", resultName(c.Result))
	}
	find(t, all, 8)
}

// Datagrams keep their bounds in a multishot receive. An empty one ends it, as the end of a stream does.
func TestDatagramsAreReceivedOneByOne(t *testing.T) {
	r := smallRing(t)
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	fd, result := connectTo(t, r, unix.SOCK_DGRAM, server.LocalAddr().(*net.UDPAddr).AddrPort())
	if result != 0 {
		t.Fatal(resultName(result))
	}
	r.Send(1, fd, []byte("question"))
	if c := expect(t, r, 1); c.Result != 8 {
		t.Fatalf("send: %+v", c)
	}
	buffer := make([]byte, 64)
	n, from, err := server.ReadFromUDPAddrPort(buffer)
	if err != nil || string(buffer[:n]) != "question" {
		t.Fatalf("got %q, %v", buffer[:n], err)
	}
	for _, answer := range []string{"one", "three", string(make([]byte, 100))} {
		if _, err := server.WriteToUDPAddrPort([]byte(answer), from); err != nil {
			t.Fatal(err)
		}
	}
	r.RecvMultishot(2, fd)
	for i, want := range []int32{3, 5, 64} { // the last was cut to the buffer
		if c := expectOrNext(t, r); c.UserData != 2 || c.Result != want || !c.More() {
			t.Fatalf("datagram %d: %+v", i, c)
		} else {
			r.ReturnBuffer(mustBuffer(t, c))
		}
	}
	if _, err := server.WriteToUDPAddrPort(nil, from); err != nil {
		t.Fatal(err)
	}
	c := expectOrNext(t, r)
	if _, hasBuffer := c.Buffer(); c.UserData != 2 || c.Result != 0 || c.More() || hasBuffer {
		t.Fatalf("an empty datagram: %+v", c)
	}
}

// expectOrNext gives the next completion, of those that come at once the first.
func expectOrNext(t *testing.T, r *KernelRing) Completion {
	t.Helper()
	into := make([]Completion, 1)
	for range 100 {
		if r.Reap(into) == 1 {
			return into[0]
		}
		if err := r.Enter(true, patience); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no completion")
	panic("unreachable")
}
