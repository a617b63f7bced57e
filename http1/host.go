package http1

// isHost reports whether b is uri-host [":" port] (RFC 9110 §7.2, RFC 3986 §3.2.2): a name or an IPv4
// address, or an IPv6 address in brackets, not empty and without percent-encoding; the port empty
// or a number up to 65535.
func isHost(b []byte) bool {
	i := 0
	if len(b) > 0 && b[0] == '[' {
		for i < len(b) && b[i] != ']' {
			i++
		}
		if i == len(b) || !isIPv6(b[1:i]) {
			return false
		}
		i++
	} else {
		for i < len(b) && classes[b[i]]&classHost != 0 {
			i++
		}
		if i == 0 {
			return false
		}
	}
	if i == len(b) {
		return true
	}
	return b[i] == ':' && isPort(b[i+1:])
}

// isPort reports whether b is empty or a decimal number from 0 to 65535 of five digits at most.
func isPort(b []byte) bool {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return len(b) <= 5 && n <= 65535
}

// portOf returns the port of a host that isHost accepts, nil if it has none.
func portOf(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && b[i] != ']'; i-- {
		if b[i] == ':' {
			return b[i+1:]
		}
	}
	return nil
}

// isIPv6 reports whether b is an IPv6address of RFC 3986 §3.2.2, which has no zone.
func isIPv6(b []byte) bool {
	groups, gap := 0, false
	i := 0
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap = true
		i = 2
	}
	for i < len(b) {
		start := i
		for i < len(b) && classes[b[i]]&classHex != 0 {
			i++
		}
		if i < len(b) && b[i] == '.' {
			groups += 2 // the last 32 bits as an IPv4 address
			if !isIPv4(b[start:]) {
				return false
			}
			break
		}
		if i == start || i-start > 4 {
			return false
		}
		groups++
		if i == len(b) {
			break
		}
		if b[i] != ':' || i+1 == len(b) {
			return false
		}
		i++
		if b[i] == ':' {
			if gap {
				return false
			}
			gap = true
			i++
		}
	}
	// "::" stands for one group at least.
	return groups == 8 && !gap || groups < 8 && gap
}

// isIPv4 reports whether b is an IPv4address of RFC 3986 §3.2.2: four numbers up to 255 without
// leading zeros.
func isIPv4(b []byte) bool {
	numbers := 0
	for i := 0; ; i++ {
		start, n := i, 0
		for i < len(b) && b[i] >= '0' && b[i] <= '9' && i-start < 3 {
			n = n*10 + int(b[i]-'0')
			i++
		}
		if i == start || n > 255 || i-start > 1 && b[start] == '0' {
			return false
		}
		numbers++
		if i == len(b) {
			return numbers == 4
		}
		if b[i] != '.' {
			return false
		}
	}
}
