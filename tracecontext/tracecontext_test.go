package tracecontext

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const (
	trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	span  = "00f067aa0ba902b7"
)

func TestParseParent(t *testing.T) {
	good := "00-" + trace + "-" + span + "-01"
	for _, test := range []struct {
		value, want string // want: as it is passed on; "": malformed
	}{
		{good, good},
		{"00-" + trace + "-" + span + "-00", "00-" + trace + "-" + span + "-00"},
		{"00-" + trace + "-" + span + "-03", "00-" + trace + "-" + span + "-03"},
		{"00-" + trace + "-" + span + "-ff", "00-" + trace + "-" + span + "-03"},
		{"cc-" + trace + "-" + span + "-01", good},
		{"cc-" + trace + "-" + span + "-01-what-the-future-will-be-like", good},
		{"cc-" + trace + "-" + span + "-01-", good},
		{"cc-" + trace + "-" + span + "-01.what", ""},
		{"cc-" + trace + "-" + span + "-01what", ""},
		{"ff-" + trace + "-" + span + "-01", ""},
		{good + "-more", ""},
		{good + "0", ""},
		{good + " ", ""},
		{good + ",", ""},
		{good[1:], ""},
		{good[:54], ""},
		{"", ""},
		{"00-" + strings.ToUpper(trace) + "-" + span + "-01", ""},
		{"00-" + trace + "-" + strings.ToUpper(span) + "-01", ""},
		{"00-" + trace + "-" + span + "-0A", ""},
		{"0G-" + trace + "-" + span + "-01", ""},
		{"00-" + strings.Repeat("0", 32) + "-" + span + "-01", ""},
		{"00-" + trace + "-" + strings.Repeat("0", 16) + "-01", ""},
		{"00-" + trace[:31] + "g-" + span + "-01", ""},
		{"00-" + trace[:31] + ".-" + span + "-01", ""},
		{"00_" + trace + "-" + span + "-01", ""},
		{"00-" + trace + "_" + span + "-01", ""},
		{"00-" + trace + "-" + span + "_01", ""},
		{"00-" + trace + "-" + span + "-.1", ""},
		{" " + good, ""},
	} {
		p, ok := ParseParent([]byte(test.value))
		got := ""
		if ok {
			got = string(p.Append(nil))
		}
		if got != test.want {
			t.Errorf("%q: got %q, want %q", test.value, got, test.want)
		}
		if !ok && p != (Parent{}) {
			t.Errorf("%q: malformed, but something was read: %v", test.value, p)
		}
	}
}

func stateOf(values ...string) string {
	var s State
	for _, value := range values {
		s.Add([]byte(value))
	}
	return string(s.Text())
}

func TestState(t *testing.T) {
	long := func(key string, n int) string { return key + "=" + strings.Repeat("x", n-len(key)-1) }
	many := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("k%d=v", i))
		}
		return strings.Join(all, ",")
	}
	for _, test := range []struct {
		values []string
		want   string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"a=1"}, "a=1"},
		{[]string{"a=1,b=2", "c=3"}, "a=1,b=2,c=3"},
		{[]string{" a=1 ,\tb=2\t", "", ",", "c=3"}, "a=1,b=2,c=3"},
		{[]string{"tenant@vendor=v", "1a-_*/=v!\"#$%&'()*+-./:;<>?@[]^_`{|}~ x"}, "tenant@vendor=v,1a-_*/=v!\"#$%&'()*+-./:;<>?@[]^_`{|}~ x"},
		{[]string{"a=1", "A=2"}, ""},
		{[]string{"a=1", "b"}, ""},
		{[]string{"a=1", "=b"}, ""},
		{[]string{"a=1", "b="}, ""},
		{[]string{"a=1", "b=c=d"}, ""},
		{[]string{"a=1", "b=\x7f"}, ""},
		{[]string{"a=1", "b=ä"}, ""},
		{[]string{"a=1", "b=1\t2"}, ""},
		{[]string{"a =1"}, ""},
		{[]string{"_a=1"}, ""},
		{[]string{long(strings.Repeat("k", 256), 260)}, strings.Repeat("k", 256) + "=xxx"},
		{[]string{long(strings.Repeat("k", 257), 260)}, ""},
		{[]string{"k=" + strings.Repeat("v", 256)}, "k=" + strings.Repeat("v", 256)},
		{[]string{"k=" + strings.Repeat("v", 257)}, ""},
		{[]string{many(32)}, many(32)},
		{[]string{many(33)}, ""},
		{[]string{many(20), "x=1", "b"}, ""},
		// Too long: what is longer than 128 goes first, the last of them before others.
		{[]string{long("a", 200), "b=1", long("c", 200), "d=1", long("e", 200)}, long("a", 200) + ",b=1," + long("c", 200) + ",d=1"},
		{[]string{long("a", 256), long("b", 255), "c=1"}, long("a", 256) + ",c=1"},
		{[]string{long("a", 256), long("b", 255)}, long("a", 256) + "," + long("b", 255)},
		// And then the last ones.
		{[]string{long("a", 128), long("b", 128), long("c", 128), long("d", 128)}, long("a", 128) + "," + long("b", 128) + "," + long("c", 128)},
		{[]string{strings.Repeat("k", 255) + "=" + strings.Repeat("v", 256) + ",a=1"}, "a=1"},
	} {
		if got := stateOf(test.values...); got != test.want {
			t.Errorf("%q: got %q, want %q", test.values, got, test.want)
		}
	}
}

func TestStateIsUsedAgain(t *testing.T) {
	var s State
	s.Add([]byte("a=1,?"))
	s.Reset()
	s.Add([]byte("b=2"))
	if got := string(s.Text()); got != "b=2" {
		t.Errorf("got %q", got)
	}
}

func TestNoAllocations(t *testing.T) {
	value, to := []byte("00-"+trace+"-"+span+"-01"), make([]byte, 0, 100)
	members := []byte("a=1,b=2")
	var s State
	s.Add(members)
	if n := testing.AllocsPerRun(100, func() {
		p, _ := ParseParent(value)
		to = p.Append(to[:0])
		s.Reset()
		s.Add(members)
		s.Text()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzParent: what is accepted can be passed on, and is read then as it was.
func FuzzParent(f *testing.F) {
	f.Add([]byte("00-" + trace + "-" + span + "-01"))
	f.Add([]byte("cc-" + trace + "-" + span + "-ff-x"))
	f.Fuzz(func(t *testing.T, value []byte) {
		p, ok := ParseParent(value)
		if !ok {
			return
		}
		if p.Trace == (TraceID{}) || p.Span == (SpanID{}) {
			t.Fatalf("%q: an id is zero", value)
		}
		text := p.Append(nil)
		if again, ok := ParseParent(text); len(text) != ParentLength || !ok || again != p {
			t.Fatalf("%q became %q", value, text)
		}
		if !bytes.Equal(text[3:53], value[3:53]) {
			t.Fatalf("%q: ids became %q", value, text)
		}
	})
}

// FuzzState: whatever comes, what is passed on is well-formed, and not too long.
func FuzzState(f *testing.F) {
	f.Add([]byte("a=1,b=2"), []byte("c=3"))
	f.Add(bytes.Repeat([]byte("a="+strings.Repeat("x", 140)+","), 5), []byte("c=3"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var s State
		s.Add(first)
		s.Add(second)
		text := s.Text()
		if len(text) > StateLengthMax {
			t.Fatalf("%d bytes", len(text))
		}
		if len(text) == 0 {
			return
		}
		for member := range bytes.SplitSeq(text, []byte{','}) {
			if !isMember(member) {
				t.Fatalf("%q has %q", text, member)
			}
		}
	})
}
