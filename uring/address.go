package uring

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// AddressMax is the length of the longest address that AppendAddress makes.
const AddressMax = unix.SizeofSockaddrInet6

// AppendAddress appends an address in the form in which Ring.Connect takes it: struct sockaddr_in, or
// sockaddr_in6 without a scope. The kernel reads family and addresses as they lie in memory, ports in
// the network's byte order.
func AppendAddress(into []byte, address netip.AddrPort) []byte {
	ip := address.Addr()
	if ip.Is4() {
		into = binary.NativeEndian.AppendUint16(into, unix.AF_INET)
		into = binary.BigEndian.AppendUint16(into, address.Port())
		four := ip.As4()
		into = append(into, four[:]...)
		return append(into, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	into = binary.NativeEndian.AppendUint16(into, unix.AF_INET6)
	into = binary.BigEndian.AppendUint16(into, address.Port())
	into = append(into, 0, 0, 0, 0) // flow
	six := ip.As16()
	into = append(into, six[:]...)
	return append(into, 0, 0, 0, 0) // scope
}

// ParseAddress is the inverse of AppendAddress. False: it is of another family, or too short.
func ParseAddress(raw []byte) (netip.AddrPort, bool) {
	if len(raw) < 2 {
		return netip.AddrPort{}, false
	}
	switch family := binary.NativeEndian.Uint16(raw); {
	case family == unix.AF_INET && len(raw) >= unix.SizeofSockaddrInet4:
		ip := netip.AddrFrom4([4]byte(raw[4:8]))
		return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(raw[2:])), true
	case family == unix.AF_INET6 && len(raw) >= unix.SizeofSockaddrInet6:
		ip := netip.AddrFrom16([16]byte(raw[8:24]))
		return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(raw[2:])), true
	}
	return netip.AddrPort{}, false
}
