package loop

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Another process, such as a newer version of this one, can go on with the listening sockets of a node, so that no
// client ever finds them closed:
//
//  1. It gets their descriptors, by ListenerFiles and SCM_RIGHTS, and passes them to Start as NodeOptions.Inherited.
//     From then on both accept.
//  2. When it serves, HandOver is called here, and then Drain: this node stops accepting, and leaves the
//     connections that wait in the sockets' backlogs to the other one.
//
// A socket is closed when its last descriptor is, so what is in its backlog waits there meanwhile.

// A ListenerFile is a listening socket on its way from one process to another.
type ListenerFile struct {
	Address string // as in NodeOptions.Listen; several sockets may have the same
	File    *os.File
}

// ListenerFiles are duplicates of the node's listening sockets, which the caller closes. ErrEnded: it drains.
func (n *Node) ListenerFiles() ([]ListenerFile, error) {
	n.mutex.Lock() // Drain closes them
	defer n.mutex.Unlock()
	if n.draining {
		return nil, ErrEnded
	}
	var files []ListenerFile
	seen := map[[2]uint64]bool{}
	for _, ofLoop := range n.sockets {
		for _, socket := range ofLoop {
			var status unix.Stat_t
			if err := unix.Fstat(socket.FD, &status); err != nil {
				CloseFiles(files)
				return nil, os.NewSyscallError("fstat", err)
			}
			if seen[[2]uint64{status.Dev, status.Ino}] { // the loops share it
				continue
			}
			seen[[2]uint64{status.Dev, status.Ino}] = true
			fd, err := unix.FcntlInt(uintptr(socket.FD), unix.F_DUPFD_CLOEXEC, 3)
			if err != nil {
				CloseFiles(files)
				return nil, os.NewSyscallError("fcntl", err)
			}
			files = append(files, ListenerFile{socket.Address, os.NewFile(uintptr(fd), socket.Address)})
		}
	}
	return files, nil
}

// HandOver says that another process accepts from the sockets of ListenerFiles, and goes on to. Drain then leaves to
// it what waits in their backlogs, and the files of unix sockets stay when the node ends.
func (n *Node) HandOver() { n.options.handedOver.Store(true) }

// CloseFiles closes files that nobody listens on after all.
func CloseFiles(files []ListenerFile) {
	for _, each := range files {
		_ = each.File.Close() // a duplicate of a socket has nothing to flush
	}
}

// filesOf are the files for an address.
func filesOf(all []ListenerFile, address string) (files []*os.File) {
	for _, each := range all {
		if each.Address == address {
			files = append(files, each.File)
		}
	}
	return files
}

// takeOver gives sockets that were handed over to loops. All are used, whatever their number: connections may wait
// in each. Loops that get none have one of their own for the address if the others have, and else share.
func takeOver(sockets [][]Socket, address string, handed []*os.File) (bound []net.Addr, err error) {
	for i, file := range handed {
		fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		to := &sockets[i%len(sockets)]
		*to = append(*to, Socket{FD: fd, Address: address})
		if err := adopt(fd); err != nil {
			return nil, err
		}
		if local := localAddress(fd); i == 0 || local.String() != bound[len(bound)-1].String() {
			bound = append(bound, local)
		}
	}
	for i := len(handed); i < len(sockets); i++ {
		fd, err := another(int(handed[i%len(handed)].Fd()))
		if err != nil {
			return nil, err
		}
		sockets[i] = append(sockets[i], Socket{FD: fd, Address: address})
	}
	return bound, nil
}

// another opens a further socket for the address of one of which there may be several, and else duplicates that.
func another(fd int) (int, error) {
	local, isTCP := localAddress(fd).(*net.TCPAddr)
	if reuses, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT); !isTCP || err != nil || reuses == 0 {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		return own, os.NewSyscallError("fcntl", err)
	}
	own, err := bindTCP(local, true)
	if err != nil {
		return -1, err
	}
	if err := unix.Listen(own, listenBacklog); err != nil {
		_ = unix.Close(own)
		return -1, os.NewSyscallError("listen", err)
	}
	return own, nil
}
