package loop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Socket is a listening socket for one loop.
type Socket struct {
	FD      int
	Secure  bool   // requests come over TLS, so their scheme is https
	Address string // of [server] listen
}

// listenBacklog is how many handshakes the kernel completes ahead of accept; it takes the minimum
// with net.core.somaxconn.
const listenBacklog = 4096

// Listen opens the addresses of [server] listen for a number of loops: sockets[i] are those of loop
// i. An address is "host:port", "unix:/path" or "systemd" (every socket that systemd passed). Those that
// inherited has sockets for are not opened again; what it has for others is closed.
//
// TCP sockets are one per loop, with SO_REUSEPORT, between which the kernel spreads connections.
// Others are shared: each loop has a descriptor of its own for the same socket. bound lists what was
// bound, with the ports that the kernel chose. cleanup removes the files of unix sockets.
func Listen(addresses []string, loops int, inherited []ListenerFile) (sockets [][]Socket, bound []net.Addr, cleanup func(), err error) {
	defer CloseFiles(inherited) // what is used has got other descriptors
	sockets = make([][]Socket, loops)
	var files []string
	cleanup = func() {
		for _, file := range files {
			_ = os.Remove(file) // gone already: just as well
		}
	}
	fail := func(err error) ([][]Socket, []net.Addr, func(), error) {
		for _, ofLoop := range sockets {
			for _, socket := range ofLoop {
				_ = unix.Close(socket.FD)
			}
		}
		cleanup()
		return nil, nil, nil, err
	}
	for _, address := range addresses {
		path, isUnix := strings.CutPrefix(address, "unix:")
		handed := filesOf(inherited, address)
		switch {
		case len(handed) != 0:
			local, err := takeOver(sockets, address, handed)
			if err != nil {
				return fail(fmt.Errorf("listen %s: %w", address, err))
			}
			bound = append(bound, local...)
			if isUnix {
				files = append(files, path)
			}
		case isUnix:
			fd, err := whenFree(func() (int, error) { return listenUnix(path) })
			if err != nil {
				return fail(fmt.Errorf("listen %s: %w", address, err))
			}
			files = append(files, path)
			if err := share(sockets, address, fd); err != nil {
				return fail(fmt.Errorf("listen %s: %w", address, err))
			}
			bound = append(bound, &net.UnixAddr{Name: path, Net: "unix"})
		case address == "systemd":
			fds, err := systemdSockets()
			if err != nil {
				return fail(fmt.Errorf("listen %s: %w", address, err))
			}
			for _, fd := range fds {
				bound = append(bound, localAddress(fd))
				if err := share(sockets, address, fd); err != nil {
					return fail(fmt.Errorf("listen %s: %w", address, err))
				}
			}
		default:
			local, err := listenTCP(sockets, address)
			if err != nil {
				return fail(fmt.Errorf("listen %s: %w", address, err))
			}
			bound = append(bound, local)
		}
	}
	return sockets, bound, cleanup, nil
}

// When a node is killed, the kernel takes its ring apart after the process has gone, and only then
// closes the listeners that accepts were armed on. Nothing tells when that is done, so whoever
// restarts it at once has to look again.
const (
	inUsePatience = time.Second
	inUsePause    = 50 * time.Millisecond
)

// whenFree opens a socket, again and again for a while if its address is in use.
func whenFree(open func() (int, error)) (fd int, err error) {
	for begun := time.Now(); ; time.Sleep(inUsePause) {
		fd, err = open()
		if !errors.Is(err, unix.EADDRINUSE) || time.Since(begun) >= inUsePatience {
			return fd, err
		}
	}
}

// share gives each loop a descriptor for the same socket.
func share(sockets [][]Socket, address string, fd int) error {
	for i := range sockets {
		own := fd
		if i > 0 {
			var err error
			if own, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
				return err
			}
		}
		sockets[i] = append(sockets[i], Socket{FD: own, Address: address})
	}
	return nil
}

// listenTCP opens one socket per loop for a TCP address.
func listenTCP(sockets [][]Socket, address string) (net.Addr, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	// With SO_REUSEPORT, a second server of the same user would bind the same port without an
	// error. So see first whether it can be had without.
	probe, err := whenFree(func() (int, error) { return bindTCP(resolved, false) })
	if err != nil {
		return nil, err
	}
	local := localAddress(probe).(*net.TCPAddr)
	if err := unix.Close(probe); err != nil {
		return nil, err
	}
	resolved.Port = local.Port
	for i := range sockets {
		fd, err := bindTCP(resolved, true)
		if err != nil {
			return nil, err
		}
		sockets[i] = append(sockets[i], Socket{FD: fd, Address: address})
		if err := unix.Listen(fd, listenBacklog); err != nil {
			return nil, os.NewSyscallError("listen", err)
		}
	}
	return local, nil
}

// bindTCP makes and binds a socket. TCP_NODELAY is inherited by what is accepted from it: a
// response is one send, so Nagle's algorithm could only delay its end.
func bindTCP(address *net.TCPAddr, reusePort bool) (fd int, err error) {
	family := unix.AF_INET6
	var name unix.Sockaddr
	if four := address.IP.To4(); four != nil {
		family = unix.AF_INET
		name = &unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(four)}
	} else {
		six := &unix.SockaddrInet6{Port: address.Port}
		copy(six.Addr[:], address.IP.To16())
		if address.Zone != "" {
			device, err := net.InterfaceByName(address.Zone)
			if err != nil {
				return -1, err
			}
			six.ZoneId = uint32(device.Index)
		}
		name = six
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) && family == unix.AF_INET6 && address.IP == nil {
		// No IPv6 here: "every address" then means every IPv4 address.
		family, name = unix.AF_INET, &unix.SockaddrInet4{Port: address.Port}
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	set := func(level, option, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, value))
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if reusePort {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if family == unix.AF_INET6 {
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	unpaced(fd, address.AddrPort().Addr())
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, name))
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// listenUnix opens a unix socket. A file that a dead server left behind is replaced; one on which
// somebody still listens is an error.
func listenUnix(path string) (int, error) {
	if connection, err := net.Dial("unix", path); err == nil {
		_ = connection.Close()
		return -1, os.NewSyscallError("bind", unix.EADDRINUSE)
	} else if errors.Is(err, unix.ECONNREFUSED) {
		if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
			if err := os.Remove(path); err != nil {
				return -1, err
			}
		}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return -1, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	if err := unix.Listen(fd, listenBacklog); err != nil {
		return -1, errors.Join(os.NewSyscallError("listen", err), unix.Close(fd), os.Remove(path))
	}
	return fd, nil
}

// systemdFirst is the first descriptor that systemd passes, SD_LISTEN_FDS_START of sd_listen_fds(3).
const systemdFirst = 3

// systemdSockets takes the sockets that systemd passed, as sd_listen_fds(3) describes it.
func systemdSockets() ([]int, error) {
	pid, err := strconv.Atoi(os.Getenv("LISTEN_PID"))
	if err != nil || pid != os.Getpid() {
		return nil, errors.New("no sockets were passed (LISTEN_PID is not this process): start it by a systemd socket unit")
	}
	count, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || count < 1 {
		return nil, errors.New("no sockets were passed (LISTEN_FDS)")
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	// Not for our children.
	for _, variable := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(variable)
	}
	fds := make([]int, count)
	for i := range fds {
		fds[i] = systemdFirst + i
		if err := adopt(fds[i]); err != nil {
			name := "unnamed"
			if i < len(names) && names[i] != "" {
				name = names[i]
			}
			return nil, fmt.Errorf("descriptor %d (%s): %w", fds[i], name, err)
		}
	}
	return fds, nil
}

// adopt makes a socket of another process's making fit for the ring, whose accept does not wait on a
// non-blocking one.
func adopt(fd int) error {
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return err
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return err
	}
	if listens == 0 || kind != unix.SOCK_STREAM {
		return errors.New("not a listening stream socket")
	}
	unix.CloseOnExec(fd)
	if domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil && domain != unix.AF_UNIX {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
	}
	return unix.SetNonblock(fd, false)
}

// localAddress is the address that a socket is bound to.
func localAddress(fd int) net.Addr {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return &net.UnixAddr{Net: "unix"}
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: name.Addr[:], Port: name.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: name.Addr[:], Port: name.Port}
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: name.Name, Net: "unix"}
	}
	return &net.UnixAddr{Net: "unix"}
}

// sockets are the few calls about sockets that do not go through the ring. None of them is on the
// way of a request but the first of a connection.
type sockets interface {
	// peer appends the client's address, "192.0.2.1:1234" or "[2001:db8::1]:1234"; nothing for
	// unix sockets.
	peer(fd int, into []byte) []byte
	// acceptPending accepts a connection if one is waiting.
	acceptPending(fd int) (int, bool)
	// isPending reports whether a connection waits to be accepted.
	isPending(fd int) bool
	// closeListener closes a listening socket. False: not done, so let the ring do it.
	closeListener(fd int) bool
	// resetOnClose makes the later close a reset.
	resetOnClose(fd int)
	// shutdownWrite is shutdown(2). The ring gives that operation to a kernel thread, always,
	// which costs several times as much. False: not done, so let the ring do it.
	shutdownWrite(fd int) bool
	// open makes a socket to be connected to an address, of TCP (without Nagle's delay) or UDP.
	open(to netip.Addr, isDatagram bool) (fd int, errno unix.Errno)
	// local appends our address, as peer does the other.
	local(fd int, into []byte) []byte
	// neverWait has spliceIn and spliceOut not wait for a socket. Operations of the ring wait all the same.
	neverWait(fd int)
	// openPipe makes a pipe of pipeSize, or fails if it cannot be that large.
	openPipe() (from, to int, errno unix.Errno)
	closePipe(from, to int)
	// spliceIn moves up to n bytes from a socket to a pipe, without copying them. 0, and no errno: the end of the
	// stream. EAGAIN: there are none, if the pipe has room. more: there are others.
	spliceIn(fd, pipe, n int) (moved int, more bool, errno unix.Errno)
	// spliceOut moves up to n bytes from a pipe to a socket. more: others follow at once, so that a segment that is
	// not full may wait for them.
	spliceOut(pipe, fd, n int, more bool) (moved int, errno unix.Errno)
}

type kernelSockets struct{}

// remoteMax is the longest text of an address: an IPv6 address, brackets, and a port.
const remoteMax = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")

func (kernelSockets) peer(fd int, into []byte) []byte {
	return appendName(unix.SYS_GETPEERNAME, fd, into)
}

func (kernelSockets) local(fd int, into []byte) []byte {
	return appendName(unix.SYS_GETSOCKNAME, fd, into)
}

// appendName appends one of the two addresses of a socket.
func appendName(call uintptr, fd int, into []byte) []byte {
	var name unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	if _, _, errno := syscall.RawSyscall(call, uintptr(fd),
		uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&size))); errno != 0 {
		return into // it has gone; its next operation will find out
	}
	return appendAddress(into, &name)
}

// The kernel asks a silent peer of ours for a sign of life after so many seconds, and again after so many,
// nine times.
const (
	keepAliveIdle     = 60
	keepAliveInterval = 10
)

func (kernelSockets) open(to netip.Addr, isDatagram bool) (fd int, errno unix.Errno) {
	family, kind := unix.AF_INET6, unix.SOCK_STREAM
	if to.Is4() {
		family = unix.AF_INET
	}
	if isDatagram {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		errno, _ = err.(unix.Errno)
		return -1, errno
	}
	if !isDatagram {
		// Failing, it leaves a delay at the end of what is sent in several pieces.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		// So that a peer that is gone without a word is found out while nothing is to be sent.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveInterval)
		unpaced(fd, to)
	}
	return fd, 0
}

func (kernelSockets) acceptPending(fd int) (int, bool) {
	// A shared socket may be emptied by another loop between a look and the accept, so the
	// accept itself must not wait.
	if err := unix.SetNonblock(fd, true); err != nil {
		return -1, false
	}
	for {
		accepted, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err == nil {
			return accepted, true
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNABORTED) {
			return -1, false
		}
	}
}

func (kernelSockets) isPending(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}

func (kernelSockets) closeListener(fd int) bool {
	_ = unix.Close(fd) // whatever it says, the descriptor is gone
	return true
}

func (kernelSockets) resetOnClose(fd int) {
	// Failing, it leaves an orderly close: the best there is then.
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

func (kernelSockets) shutdownWrite(fd int) bool {
	_, _, errno := syscall.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return errno == 0 || errno == unix.ENOTCONN // reset meanwhile: the receive will say so
}

// appendAddress appends the text of a socket address.
func appendAddress(into []byte, name *unix.RawSockaddrAny) []byte {
	switch name.Addr.Family {
	case unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), hostOrder(four.Port)).AppendTo(into)
	case unix.AF_INET6:
		// A client of IPv4 on an IPv6 socket is shown as what it is.
		six := (*unix.RawSockaddrInet6)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom16(six.Addr).Unmap(), hostOrder(six.Port)).AppendTo(into)
	}
	return into
}

// hostOrder turns a port around that lies in memory in the network's byte order.
func hostOrder(port uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&port))[:])
}
