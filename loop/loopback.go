package loop

import (
	"bytes"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Between two sockets of one machine nothing is lost and nothing queues, so there is no congestion to be controlled.
// But BBR, which many servers have as their default, paces there as anywhere: it arms a timer for every 64 KB that a
// socket is given faster than the other end has taken the last ones. That costs as much as copying them, and takes
// effect just where they are not copied. So connections over loopback have the plainest algorithm that there is
// instead, which does not pace.

// unpacedControl is the congestion control that every kernel has, and every user may choose.
const unpacedControl = "reno"

// unpaced has a socket of TCP not pace, or those that are accepted from it, if one end has that address.
// It has no effect on one that is connected already.
func unpaced(fd int, address netip.Addr) {
	if address.Unmap().IsLoopback() && pacesByDefault() {
		// Failing, it leaves what it costs.
		_ = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, unpacedControl)
	}
}

// pacesByDefault reports whether the congestion control that sockets begin with paces: BBR of any version.
var pacesByDefault = sync.OnceValue(func() bool {
	name, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	return err == nil && bytes.HasPrefix(name, []byte("bbr"))
})
