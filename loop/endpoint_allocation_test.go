package loop

import (
	"testing"

	"golang.org/x/sys/unix"

	"nano/dns"
)

// TestEndpointAllocatesNothing: bytes go both ways over the kernel's ring without garbage.
func TestEndpointAllocatesNothing(t *testing.T) {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 1); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	r := newRealLoop(t, fixedNames(&dns.Config{}))
	c := r.dial("127.0.0.1", name.(*unix.SockaddrInet4).Port)
	peer, _, err := unix.Accept(listener)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(peer)
	e := c.plug.endpoint
	counter := &counterPlug{}
	e.handler = counter
	e.resume()
	message, buffer := make([]byte, 500), make([]byte, 2048)
	round := func() {
		e.write(message)
		e.write(message)
		for e.queued() != 0 {
			if err := r.loop.tick(); err != nil {
				t.Fatal(err)
			}
		}
		// Whether it has come by now is the kernel's affair: nothing more would happen on the ring.
		for got := 0; got < 1000; {
			n, err := unix.Read(peer, buffer)
			if err != nil || n == 0 {
				t.Fatal("read:", n, err)
			}
			got += n
		}
		before := counter.bytes
		if _, err := unix.Write(peer, message); err != nil {
			t.Fatal(err)
		}
		for counter.bytes < before+500 {
			if err := r.loop.tick(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 100 {
		round()
	}
	if allocations := testing.AllocsPerRun(500, round); allocations != 0 {
		t.Errorf("%v allocations a round", allocations)
	}
	e.close()
	r.settle()
}

// A counterPlug counts what it receives.
type counterPlug struct {
	plug
	bytes int
}

func (p *counterPlug) received(data []byte) { p.bytes += len(data) }
