package fakering

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"nano/uring"
)

// echoServer is a small caller with the discipline that a loop needs: it survives every fault and
// breaks no rule.
type echoServer struct {
	ring       uring.Ring
	listener   int
	accepting  bool
	stopping   bool
	cancelling bool // the accept
	slots      []*slot
	into       [16]uring.Completion
	seen       map[string]int // outcomes, to see that every fault happens
}

type slot struct {
	fd         int // -1: free
	generation uint32
	receiving  bool
	cancelling bool
	sending    bool
	closing    bool // no more bytes come, or can go
	closeSent  bool
	out        []byte // received, not sent yet
	flying     []byte // in flight
}

// Kinds of user data.
const (
	kindAccept = iota + 1
	kindReceive
	kindSend
	kindClose
	kindCancel
	kindCancelAccept
)

func newEchoServer(ring uring.Ring, listener int) *echoServer {
	return &echoServer{ring: ring, listener: listener, seen: map[string]int{}}
}

// tick waits for at most timeout and answers everything that has come.
func (s *echoServer) tick(timeout time.Duration) error {
	if !s.accepting && !s.stopping {
		s.accepting = true
		s.ring.AcceptMultishot(uring.Pack(kindAccept, 0, 0), s.listener)
	}
	if err := s.ring.Enter(true, timeout); err != nil {
		return err
	}
	for n := s.ring.Reap(s.into[:]); n > 0; n = s.ring.Reap(s.into[:]) {
		for _, c := range s.into[:n] {
			s.handle(c)
		}
	}
	for i := range s.slots {
		s.advance(uint32(i))
	}
	return nil
}

func (s *echoServer) handle(c uring.Completion) {
	kind, generation, index := c.UserData.Unpack()
	if c.Result < 0 {
		s.seen[fmt.Sprintf("%d %s", kind, unix.ErrnoName(unix.Errno(-c.Result)))]++
	}
	if kind == kindAccept {
		s.accepted(c)
		return
	}
	if kind == kindCancelAccept {
		s.cancelling = false
		return
	}
	slot := s.slots[index]
	if slot.generation != generation {
		panic(fmt.Sprintf("completion of an earlier life: %+v", c))
	}
	switch kind {
	case kindReceive:
		s.received(slot, c)
	case kindSend:
		slot.sending = false
		if c.Result < 0 {
			slot.closing, slot.out = true, nil
			break
		}
		if int(c.Result) < len(slot.flying) {
			s.seen["short send"]++
		}
		slot.out = append(append([]byte(nil), slot.flying[c.Result:]...), slot.out...)
	case kindCancel:
		slot.cancelling = false
	case kindClose:
		slot.fd, slot.generation = -1, slot.generation+1
	}
}

func (s *echoServer) accepted(c uring.Completion) {
	if !c.More() {
		s.accepting = false
		if c.Result >= 0 {
			s.seen["accept without More"]++
		}
	}
	if c.Result < 0 {
		return
	}
	for i, free := range s.slots {
		if free.fd < 0 {
			s.slots[i] = &slot{fd: int(c.Result), generation: free.generation}
			return
		}
	}
	s.slots = append(s.slots, &slot{fd: int(c.Result)})
}

func (s *echoServer) received(slot *slot, c uring.Completion) {
	slot.receiving = c.More()
	switch {
	case c.Result > 0:
		if !c.More() {
			s.seen["receive without More"]++
		}
		id, _ := c.Buffer()
		slot.out = append(slot.out, s.ring.Buffer(id, int(c.Result))...)
		s.ring.ReturnBuffer(id)
	case c.Result == 0:
		slot.closing = true
	case c.Result != failure(unix.ENOBUFS) && c.Result != failure(unix.ECANCELED):
		slot.closing, slot.out = true, nil
	}
}

// advance queues what a connection needs next.
func (s *echoServer) advance(index uint32) {
	slot := s.slots[index]
	if slot.fd < 0 || slot.closeSent {
		return
	}
	name := func(kind uint8) uring.UserData { return uring.Pack(kind, slot.generation, index) }
	if !slot.sending && len(slot.out) > 0 {
		slot.sending, slot.flying, slot.out = true, slot.out, nil
		s.ring.Send(name(kindSend), slot.fd, slot.flying)
	}
	ending := slot.closing || s.stopping
	if ending && slot.receiving && !slot.cancelling {
		slot.cancelling = true
		s.ring.Cancel(name(kindCancel), name(kindReceive))
	}
	if !ending && !slot.receiving {
		slot.receiving = true
		s.ring.RecvMultishot(name(kindReceive), slot.fd)
	}
	if ending && !slot.receiving && !slot.cancelling && !slot.sending && len(slot.out) == 0 {
		slot.closeSent = true
		s.ring.Close(name(kindClose), slot.fd)
	}
}

// stop ends everything and stops the ring.
func (s *echoServer) stop() error {
	s.stopping = true
	if s.accepting {
		s.cancelling = true
		s.ring.Cancel(uring.Pack(kindCancelAccept, 0, 0), uring.Pack(kindAccept, 0, 0))
	}
	for s.accepting || s.cancelling || s.open() > 0 {
		if err := s.tick(time.Second); err != nil {
			return err
		}
	}
	return s.ring.Stop()
}

func (s *echoServer) open() (n int) {
	for _, slot := range s.slots {
		if slot.fd >= 0 {
			n++
		}
	}
	return n
}
