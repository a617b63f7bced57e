package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// reply is an answer as far as the measurements of many apps look at it.
type reply struct {
	Status int
	Served int    // x-served: how many requests the instance has served, 1 if it was just started
	Error  string // nano-error
	Body   string
	Closes bool // connection: close
}

var headEnd = []byte("\r\n\r\n")

// parseReply reads the answer at the begin of a buffer. size is that of the whole answer, or 0 if
// more is to come. Answers must have a Content-Length, as those of small apps do.
func parseReply(buffer []byte) (r reply, size int, err error) {
	end := bytes.Index(buffer, headEnd)
	if end < 0 {
		return r, 0, nil
	}
	status, head, _ := strings.Cut(string(buffer[:end]), "\r\n")
	if len(status) < 12 || !strings.HasPrefix(status, "HTTP/1.1 ") {
		return r, 0, fmt.Errorf("no status line: %.80q", status)
	}
	if r.Status, err = strconv.Atoi(status[9:12]); err != nil {
		return r, 0, fmt.Errorf("no status: %.80q", status)
	}
	length := -1
	for line := range strings.SplitSeq(head, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-length":
			length, err = strconv.Atoi(value)
		case "x-served":
			r.Served, err = strconv.Atoi(value)
		case "nano-error":
			r.Error = value
		case "connection":
			r.Closes = strings.EqualFold(value, "close")
		}
		if err != nil {
			return r, 0, fmt.Errorf("header %q: %w", line, err)
		}
	}
	if length < 0 {
		return r, 0, fmt.Errorf("no Content-Length: %.200q", head)
	}
	size = end + len(headEnd) + length
	if len(buffer) < size {
		return r, 0, nil
	}
	r.Body = string(buffer[end+len(headEnd) : size])
	return r, size, nil
}

// expect returns an error unless a reply is the given text with status 200.
func (r reply) expect(body string) error {
	if r.Status != 200 || r.Body != body {
		return fmt.Errorf("status %d %s, body %.80q, want %q", r.Status, r.Error, r.Body, body)
	}
	return nil
}

// client is one connection, used in turns: a request, then its answer. It uses blocking system
// calls, so that no scheduler but the kernel's stands between the answer and the clock.
type client struct {
	fd     int
	buffer []byte
	filled int
}

var errClosed = errors.New("the connection was closed")

// socketAddress parses "127.0.0.1:8080" or "unix:PATH".
func socketAddress(address string) (domain int, parsed unix.Sockaddr, err error) {
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		return unix.AF_UNIX, &unix.SockaddrUnix{Name: path}, nil
	}
	port, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0, nil, err
	}
	return unix.AF_INET, &unix.SockaddrInet4{Port: int(port.Port()), Addr: port.Addr().As4()}, nil
}

// connect opens a blocking socket.
func connect(address string) (fd int, err error) {
	domain, parsed, err := socketAddress(address)
	if err != nil {
		return -1, err
	}
	if fd, err = unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	for {
		if err = unix.Connect(fd, parsed); err != unix.EINTR {
			break
		}
	}
	if err == nil && domain == unix.AF_INET {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect %s: %w", address, err)
	}
	return fd, nil
}

// dial opens a connection whose reads and writes fail after exchangeTimeout.
func dial(address string) (*client, error) { return dialFor(address, exchangeTimeout) }

// dialFor opens a connection whose reads and writes fail after a time.
func dialFor(address string, timeout time.Duration) (*client, error) {
	c := &client{fd: -1, buffer: make([]byte, 64<<10)}
	if err := c.open(address, timeout); err != nil {
		return nil, err
	}
	return c, nil
}

// open opens a connection in place of one that was closed. It makes no garbage: to collect that takes this process
// longer than many an answer that it waits for.
func (c *client) open(address string, timeout time.Duration) error {
	fd, err := connect(address)
	if err != nil {
		return err
	}
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	for _, option := range [...]int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
			unix.Close(fd)
			return err
		}
	}
	c.fd, c.filled = fd, 0
	return nil
}

func (c *client) close() {
	unix.Close(c.fd)
	c.fd = -1
}

func (c *client) isOpen() bool { return c.fd >= 0 }

// sendMax is how many bytes a client sends at a time. One system call with a large body may keep its core for tens of
// milliseconds on a kernel without preemption, and over loopback it does the receiver's part as well: whoever measures
// on that core would be charged for it. Between two pieces it yields: a thread that sends went on for up to 4 ms, until
// the kernel's tick, though another one had been woken up, and SCHED_IDLE did not change that.
const sendMax = 16 << 10

// send writes a request, or a part of one.
func (c *client) send(content []byte) error {
	for len(content) > 0 {
		written, err := unix.SendmsgN(c.fd, content[:min(len(content), sendMax)], nil, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		content = content[written:]
		if len(content) > 0 {
			unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		}
	}
	return nil
}

// receive reads one answer.
func (c *client) receive() (reply, error) {
	for {
		if r, size, err := parseReply(c.buffer[:c.filled]); err != nil || size > 0 {
			c.filled = copy(c.buffer, c.buffer[size:c.filled])
			return r, err
		}
		if c.filled == len(c.buffer) {
			c.buffer = append(c.buffer, make([]byte, len(c.buffer))...)
		}
		count, err := unix.Read(c.fd, c.buffer[c.filled:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return reply{}, fmt.Errorf("receive: %w", err)
		case count == 0:
			return reply{}, errClosed
		default:
			c.filled += count
		}
	}
}

// ask makes one exchange.
func (c *client) ask(request []byte) (reply, error) {
	if err := c.send(request); err != nil {
		return reply{}, err
	}
	return c.receive()
}

// onCore runs a measurement with all threads of this process on one core, so that it disturbs no
// server on another one. The calling thread's timers fire as exactly as the kernel can.
func onCore(core string, measure func() error) error {
	number, err := strconv.Atoi(core)
	if err != nil {
		return err
	}
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	one.Set(number)
	if err := setAffinity(&one); err != nil {
		return err
	}
	defer setAffinity(&before)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // 0: as it was
	return measure()
}

// setAffinity moves all threads of this process; new ones follow the thread that makes them.
func setAffinity(set *unix.CPUSet) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, entry := range threads {
		thread, err := strconv.Atoi(entry.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(thread, set); err != nil && err != unix.ESRCH {
			return fmt.Errorf("sched_setaffinity: %w", err)
		}
	}
	return nil
}

// sleepUntil sleeps to a moment with the kernel's precision, on the calling thread.
func sleepUntil(moment time.Time) {
	for {
		left := time.Until(moment)
		if left <= 0 {
			return
		}
		duration := unix.NsecToTimespec(left.Nanoseconds())
		unix.Nanosleep(&duration, nil) // interrupted or not, the clock decides
	}
}
