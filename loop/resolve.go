package loop

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"nano/dns"
)

// Names are resolved by each loop for itself, with sockets on its ring. Only the configuration is shared.

// resolve looks the name of a dialing up.
func (l *Loop) resolve(d *dialing) {
	config := l.options.names.current(l.now)
	switch {
	case l.names == nil:
		l.names = dns.NewResolver(nameTransport{l}, rand.Uint32, config)
		l.namesConfig = config
	case l.namesConfig != config:
		l.names.Configure(config)
		l.namesConfig = config
	}
	var answer dns.Answer
	answer, d.lookup = l.names.Lookup(d.to.host, l.now, d)
	if !answer.More || len(answer.Addresses) != 0 {
		d.Resolved(answer)
	}
}

// nameTransport implements dns.Transport on the loop's ring.
type nameTransport struct{ loop *Loop }

// Send implements dns.Transport.
func (t nameTransport) Send(x *dns.Exchange) error {
	if !x.Server.IsValid() {
		t.loop.askSystem(x)
		return nil
	}
	s := &nameSocket{loop: t.loop, exchange: x}
	e, errno := t.loop.connect(x.Server, !x.TCP, s)
	switch errno {
	case 0:
	case unix.EMFILE, unix.ENFILE:
		return dns.ErrNoSocket
	default:
		return errno
	}
	if x.TCP {
		var length [2]byte
		binary.BigEndian.PutUint16(length[:], uint16(len(x.Message)))
		e.write(length[:])
	}
	e.write(x.Message)
	e.resume()
	s.endpoint, s.timeout.owner = e, s
	x.Carrier = s
	t.loop.startTimeout(&s.timeout, x.Timeout)
	return nil
}

// Cancel implements dns.Transport.
func (t nameTransport) Cancel(x *dns.Exchange) {
	switch carrier := x.Carrier.(type) {
	case *nameSocket:
		carrier.end()
	case *systemLookup:
		carrier.end()
	}
}

// A nameSocket carries one question to one server.
type nameSocket struct {
	loop     *Loop
	exchange *dns.Exchange
	endpoint *endpoint // nil: closed
	timeout  timeoutNode
	in       []byte // of TCP: what has come
}

func (s *nameSocket) end() {
	s.timeout.stop()
	s.loop.buffers.give(s.in)
	s.in = nil
	if e := s.endpoint; e != nil {
		s.endpoint = nil
		e.close()
	}
}

// received implements endpointHandler.
func (s *nameSocket) received(data []byte) {
	l := s.loop
	if !s.exchange.TCP {
		l.names.Received(s.exchange, data, l.now)
		return
	}
	if data == nil {
		l.names.Failed(s.exchange, l.now)
		return
	}
	s.in = l.buffers.append(s.in, data)
	if len(s.in) < 2 {
		return
	}
	if n := 2 + int(binary.BigEndian.Uint16(s.in)); len(s.in) >= n {
		message := s.in[2:n]
		whole := s.in
		s.in = nil // the socket ends in the course of this
		l.names.Received(s.exchange, message, l.now)
		l.buffers.give(whole)
	}
}

// failed implements endpointHandler.
func (s *nameSocket) failed(unix.Errno) {
	s.endpoint = nil
	s.loop.names.Failed(s.exchange, s.loop.now)
}

// timedOut implements waiter.
func (s *nameSocket) timedOut(*timeoutNode) { s.loop.names.TimedOut(s.exchange, s.loop.now) }

func (s *nameSocket) connected() {}
func (s *nameSocket) sent()      {}
func (s *nameSocket) closed()    {}

// The system's resolver

// A systemLookup is a question to the system's resolver, which blocks, so a goroutine waits for it.
type systemLookup struct {
	loop      *Loop
	exchange  *dns.Exchange
	cancel    context.CancelFunc // nil: it waits for its turn
	isOver    bool               // nobody wants the answer
	timeout   timeoutNode
	addresses []netip.Addr
	err       error
}

// systemLookupsMax bounds how many goroutines of a loop wait for the system's resolver.
const systemLookupsMax = 64

// askSystem begins a question to the system's resolver, or has it wait for its turn.
func (l *Loop) askSystem(x *dns.Exchange) {
	s := &systemLookup{loop: l, exchange: x}
	s.timeout.owner = s
	x.Carrier = s
	l.startTimeout(&s.timeout, x.Timeout)
	l.systemQueue = append(l.systemQueue, s)
	l.startSystemLookups()
}

// startSystemLookups starts those whose turn it is.
func (l *Loop) startSystemLookups() {
	for l.systemOpen < systemLookupsMax && len(l.systemQueue) != 0 {
		s := l.systemQueue[0]
		l.systemQueue[0] = nil
		if l.systemQueue = l.systemQueue[1:]; len(l.systemQueue) == 0 {
			l.systemQueue = nil
		}
		if !s.isOver {
			s.start()
		}
	}
}

// start asks. The answer comes by the mailbox, also if it was cancelled.
func (s *systemLookup) start() {
	l := s.loop
	l.systemOpen++
	ctx, cancel := context.WithTimeout(context.Background(), s.exchange.Timeout)
	s.cancel = cancel
	lookUp := l.options.names.system
	go func() {
		s.addresses, s.err = lookUp(ctx, s.exchange.Name)
		cancel()
		l.mailbox.Post(message{kind: messageResolved, resolved: s}) // closed: nobody waits any more
	}()
}

// end gives the question up.
func (s *systemLookup) end() {
	s.isOver = true
	s.timeout.stop()
	if s.cancel != nil {
		s.cancel()
	}
}

// timedOut implements waiter.
func (s *systemLookup) timedOut(*timeoutNode) { s.loop.names.TimedOut(s.exchange, s.loop.now) }

// systemAnswered takes what the system's resolver found.
func (l *Loop) systemAnswered(s *systemLookup) {
	l.systemOpen--
	l.startSystemLookups()
	if s.isOver {
		return
	}
	err := s.err
	var failure *net.DNSError
	switch {
	case err == nil:
	case errors.As(err, &failure) && failure.IsNotFound:
		err = dns.ErrNotFound
	case errors.As(err, &failure) && failure.IsTimeout:
		err = dns.ErrTimeout
	default:
		err = dns.ErrServer
	}
	for i := range s.addresses {
		s.addresses[i] = s.addresses[i].Unmap().WithZone("")
	}
	l.names.SystemAnswered(s.exchange, s.addresses, err, l.now)
}

// The configuration

// nameFiles is the configuration of the machine, which all loops share. When a file changes, it is read
// anew, by a goroutine that the lookups start.
type nameFiles struct {
	paths     namePaths
	config    atomic.Pointer[dns.Config]
	checkedAt atomic.Int64 // on the loops' clock
	checking  sync.Mutex   // held by who looks at the files
	seen      [3]fileMark
	system    func(ctx context.Context, name string) ([]netip.Addr, error)
	isFixed   bool // the files are not looked at: for tests
}

// namePaths are where the files lie: resolv.conf(5), hosts(5) and nsswitch.conf(5).
type namePaths [3]string

var systemNamePaths = namePaths{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"}

// fileMark tells one state of a file from another.
type fileMark struct {
	modified time.Time
	size     int64
	inode    uint64
}

// nameFilesPause is how seldom the files are looked at.
const nameFilesPause = int64(5 * time.Second)

// newNameFiles reads the files of this machine.
func newNameFiles(paths namePaths) *nameFiles {
	f := &nameFiles{paths: paths}
	f.system = func(ctx context.Context, name string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	}
	f.seen = paths.mark()
	f.config.Store(paths.read())
	return f
}

// current gives the configuration, and has the files looked at if that was long ago.
func (f *nameFiles) current(now int64) *dns.Config {
	last := f.checkedAt.Load()
	if !f.isFixed && now-last >= nameFilesPause && f.checkedAt.CompareAndSwap(last, now) {
		go f.check()
	}
	return f.config.Load()
}

// check reads the files if one has changed.
func (f *nameFiles) check() {
	if !f.checking.TryLock() {
		return // the one before takes long
	}
	defer f.checking.Unlock()
	marks := f.paths.mark()
	if marks != f.seen {
		f.seen = marks
		f.config.Store(f.paths.read())
	}
}

func (paths *namePaths) mark() (marks [3]fileMark) {
	for i, path := range paths {
		var status unix.Stat_t
		if unix.Stat(path, &status) == nil {
			marks[i] = fileMark{time.Unix(status.Mtim.Unix()), status.Size, status.Ino}
		}
	}
	return marks
}

// read reads the configuration. Where there is something that this resolver does not know of,
// the system's is asked.
func (paths *namePaths) read() *dns.Config {
	resolv, err := os.ReadFile(paths[0])
	hostname, _ := os.Hostname() // without, nothing is searched
	config := dns.ParseConfig(string(resolv), hostname)
	hosts, _ := os.ReadFile(paths[1]) // without, it is empty
	config.Hosts = dns.ParseHosts(string(hosts))
	nsswitch, _ := os.ReadFile(paths[2]) // without, the default holds
	if err != nil || !dns.IsPlain(string(nsswitch)) {
		config.System = true
	}
	return config
}
