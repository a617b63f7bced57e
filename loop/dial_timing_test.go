package loop

import (
	"errors"
	"net"
	"runtime"
	"testing"

	"nano/dns"
	"nano/uring"
)

// BenchmarkDial connects to a host of the hosts file over loopback and closes again. What the other end does
// counts, too.
func BenchmarkDial(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connection.Close()
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ring, err := uring.New(uring.Config{Entries: 64, Buffers: 16})
	if err != nil {
		b.Fatal(err)
	}
	names := fixedNames(&dns.Config{Hosts: dns.ParseHosts("127.0.0.1 host.test")})
	l, err := New(0, &Options{names: names}, ring, nil)
	if err != nil {
		b.Fatal(err)
	}
	l.readTime()
	l.armWake()
	rules := rulesOf(b, "127.0.0.1")
	port := listener.Addr().(*net.TCPAddr).AddrPort().Port()
	tick := func() {
		if err := l.tick(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		c := &dialed{}
		l.dial(target{host: "host.test", port: port, app: nobody()}, rules, c)
		for c.told == 0 {
			tick()
		}
		if c.fault != nil {
			b.Fatal(c.fault.text)
		}
		c.plug.endpoint.reset()
		for l.endpoints.open != 0 {
			tick()
		}
	}
	l.Drain()
	for !l.isDrained() {
		tick()
	}
	if err := errors.Join(l.end(), l.Close()); err != nil {
		b.Error(err)
	}
}
