// Package tracecontext reads and writes the headers traceparent and tracestate of W3C Trace Context
// (https://www.w3.org/TR/trace-context/, levels 1 and 2), by which a request tells to which trace it belongs.
// It neither does I/O nor allocates, unless a destination is too small.
package tracecontext

import "encoding/hex"

// The names of the headers.
const (
	ParentName = "traceparent"
	StateName  = "tracestate"
)

// TraceID names a trace; all zero is none.
type TraceID [16]byte

// SpanID names one operation of a trace, the "parent-id" of a traceparent; all zero is none.
type SpanID [8]byte

// Flags of a trace.
type Flags uint8

// The flags that are known. What else a traceparent has is not passed on (level 2, §3.2.2.5).
const (
	FlagSampled Flags = 1 << iota // the sender may have recorded it
	FlagRandom                    // the last 7 bytes of the TraceID are random
	flagsKnown  = FlagSampled | FlagRandom
)

// Parent is a traceparent.
type Parent struct {
	Trace TraceID
	Span  SpanID
	Flags Flags
}

// ParentLength is the length of a traceparent of version 00.
const ParentLength = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")

// ParseParent reads the value of a traceparent header; not ok: it is none, and the request begins a trace. Of
// versions to come it reads what version 00 has of them (§4.3, "Versioning of traceparent").
func ParseParent(value []byte) (p Parent, ok bool) {
	if len(value) < ParentLength || value[2] != '-' || value[35] != '-' || value[52] != '-' {
		return Parent{}, false
	}
	var version, flags [1]byte
	if !decode(version[:], value[:2]) || !decode(p.Trace[:], value[3:35]) || !decode(p.Span[:], value[36:52]) || !decode(flags[:], value[53:55]) {
		return Parent{}, false
	}
	hasMore := len(value) > ParentLength
	switch {
	case version[0] == 0xff, version[0] == 0 && hasMore, hasMore && value[ParentLength] != '-':
		return Parent{}, false
	case p.Trace == TraceID{}, p.Span == SpanID{}:
		return Parent{}, false
	}
	p.Flags = Flags(flags[0]) & flagsKnown
	return p, true
}

// decode reads hexadecimal digits in lower case, which the headers are in.
func decode(to, digits []byte) bool {
	for i := range to {
		high, low := digitOf(digits[2*i]), digitOf(digits[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		to[i] = high<<4 | low
	}
	return true
}

// digitOf is the value of a digit; more than 15: it is none.
func digitOf(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// Append appends the value of a traceparent header, of version 00.
func (p *Parent) Append(to []byte) []byte {
	to = append(to, "00-"...)
	to = hex.AppendEncode(to, p.Trace[:])
	to = append(to, '-')
	to = hex.AppendEncode(to, p.Span[:])
	return hex.AppendEncode(append(to, '-'), []byte{byte(p.Flags)})
}

// String is the id in hexadecimal digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// String is the id in hexadecimal digits.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// The limits of a tracestate.
const (
	// StateLengthMax is the longest tracestate that is passed on, which is what everybody should at least (§3.3.1.5).
	StateLengthMax = 512
	// membersMax is how many members a tracestate may have (§3.3.1.1).
	membersMax = 32
	// memberLong is from where on a member goes first when there is too much of them.
	memberLong = 128
	keyMax     = 256
	valueMax   = 256
)

// State puts a tracestate together of the headers of that name, in their order. Its zero value is empty.
type State struct {
	text    []byte
	members int
	broken  bool
}

// Reset makes it empty. What Text gave is not valid any more.
func (s *State) Reset() { *s = State{text: s.text[:0]} }

// Add takes the value of one header. If a member of it is malformed, or there are too many, nothing is left of the
// whole tracestate (§4.4, "If the tracestate header cannot be parsed").
func (s *State) Add(value []byte) {
	for start := 0; start <= len(value) && !s.broken; {
		end := start
		for end < len(value) && value[end] != ',' {
			end++
		}
		member := trim(value[start:end])
		start = end + 1
		if len(member) == 0 { // is allowed
			continue
		}
		if s.members++; s.members > membersMax || !isMember(member) {
			s.text, s.broken = s.text[:0], true
			return
		}
		if len(s.text) != 0 {
			s.text = append(s.text, ',')
		}
		s.text = append(s.text, member...)
	}
}

// Text is the tracestate, shortened to StateLengthMax: long members go first, then the last ones, which have been
// there for longest. It is valid until Reset; empty: there is none.
func (s *State) Text() []byte {
	if len(s.text) <= StateLengthMax {
		return s.text
	}
	s.dropLong()
	for len(s.text) > StateLengthMax {
		s.text = s.text[:s.last()]
	}
	return s.text
}

// dropLong takes long members out, the last one first, until the rest is short enough.
func (s *State) dropLong() {
	end := len(s.text)
	for len(s.text) > StateLengthMax && end > 0 {
		start := end
		for start > 0 && s.text[start-1] != ',' {
			start--
		}
		if end-start > memberLong {
			next := min(end+1, len(s.text)) // behind the comma
			s.text = append(s.text[:start], s.text[next:]...)
			if start == len(s.text) && start > 0 {
				s.text = s.text[:start-1]
			}
		}
		end = start - 1
	}
}

// last is where the comma before the last member is; 0: there is only one.
func (s *State) last() int {
	for i := len(s.text) - 1; i > 0; i-- {
		if s.text[i] == ',' {
			return i
		}
	}
	return 0
}

// isMember reports whether text is a list-member: key "=" value (§3.3.1.3). Keys are taken as in level 2, which
// has one rule for all.
func isMember(text []byte) bool {
	i := 0
	for i < len(text) && isKeyByte(text[i]) {
		i++
	}
	if i == 0 || i > keyMax || i == len(text) || text[i] != '=' || !isKeyStart(text[0]) {
		return false
	}
	value := text[i+1:]
	if len(value) == 0 || len(value) > valueMax || value[len(value)-1] == ' ' {
		return false
	}
	for _, c := range value {
		if c < ' ' || c > '~' || c == ',' || c == '=' {
			return false
		}
	}
	return true
}

func isKeyStart(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func isKeyByte(c byte) bool {
	return isKeyStart(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@'
}

// trim removes blanks and tabs from both ends.
func trim(text []byte) []byte {
	for len(text) != 0 && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	for len(text) != 0 && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
		text = text[:len(text)-1]
	}
	return text
}
