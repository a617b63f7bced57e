package http1

import (
	"bytes"
	"fmt"
	"testing"
)

// FuzzHead checks of any bytes, under any limit: no panic; the same result however they are cut;
// offsets in bounds and in order; that a head written out again from what was parsed parses to the same;
// agreement with net/http where both accept.
func FuzzHead(f *testing.F) {
	f.Add([]byte(plainHead), uint16(0), uint16(8))
	f.Add([]byte(browserHead), uint16(0), uint16(300))
	for i, test := range smuggling {
		if i%4 == 0 {
			f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\n"+test.lines+test.after), uint16(0), uint16(30+i))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, limit, cut uint16) {
		if limit == 0 {
			limit = MaxHeadLength // so that most inputs are not about the limit
		}
		whole := parseOnce(raw, int(limit))
		every := make([]int, min(len(raw), 2000))
		for i := range every {
			every[i] = i
		}
		for how, got := range []summary{
			parsePieces(raw, int(limit), min(int(cut), len(raw))),
			parsePieces(raw, int(limit), every...),
		} {
			if !same(raw, int(limit), got, whole) {
				t.Fatalf("pieces %d: got %v, want %v", how, got, whole)
			}
		}
		var h Head
		if h.Parse(raw, int(limit)) != nil {
			return
		}
		checkBounds(t, raw, &h)
		checkWrittenOut(t, raw, &h)
		if _, _, difference := compareNetHTTP(raw); difference != "" {
			t.Fatal(difference)
		}
	})
}

// checkBounds checks that all that h says lies in the head, in the order of the grammar.
func checkBounds(t *testing.T, raw []byte, h *Head) {
	if h.Length > len(raw) || !bytes.HasSuffix(raw[:h.Length], []byte("\r\n\r\n")) {
		t.Fatalf("Length %d", h.Length)
	}
	at := 0
	next := func(what string, offset, length uint16) {
		if int(offset) < at || int(offset)+int(length) > h.Length {
			t.Fatalf("%s at %d, %d bytes, after %d, in a head of %d", what, offset, length, at, h.Length)
		}
		at = int(offset) + int(length)
	}
	next("method", h.MethodOffset, h.MethodLength)
	next("target", h.TargetOffset, h.TargetLength)
	for _, f := range h.Fields {
		next("name", f.NameOffset, f.NameLength)
		next("value", f.ValueOffset, f.ValueLength)
	}
	if int(h.HostOffset)+int(h.HostLength) > h.Length {
		t.Fatalf("host at %d, %d bytes", h.HostOffset, h.HostLength)
	}
	if h.Chunked && h.ContentLength >= 0 || h.ContentLength < -1 || h.Minor > 1 || h.Method > MethodOther {
		t.Fatalf("%+v", h)
	}
}

// checkWrittenOut checks that the head written out from h, in the plainest form, parses to the same.
func checkWrittenOut(t *testing.T, raw []byte, h *Head) {
	line := raw[h.MethodOffset:]
	line = line[:bytes.LastIndexByte(line[:bytes.IndexByte(line, '\r')], ' ')]
	plain := fmt.Appendf(nil, "%s HTTP/1.%d\r\n", line, h.Minor)
	for _, f := range h.Fields {
		plain = fmt.Appendf(plain, "%s: %s\r\n", raw[f.NameOffset:][:f.NameLength], raw[f.ValueOffset:][:f.ValueLength])
	}
	plain = append(plain, "\r\n"...)
	if len(plain) > MaxHeadLength {
		return // a blank was added after each colon
	}
	var again Head
	if err := again.Parse(plain, MaxHeadLength); err != nil {
		t.Fatalf("%q: %v", plain, err)
	}
	// Only lengths and offsets may differ by what was left out.
	again.Length, again.MethodOffset = h.Length, h.MethodOffset
	want, got := summarise(raw, h, nil), summarise(plain, &again, nil)
	if h.MethodOffset != 0 {
		again.MethodOffset = 0
		h.MethodOffset = 0
		got = summarise(plain, &again, nil)
		shifted := *h
		want = summarise(raw[2:], shiftHead(&shifted, 2), nil)
	}
	if got != want {
		t.Fatalf("written out:\n%v\nwant\n%v", got, want)
	}
}

// shiftHead takes n from all offsets of h but the method's, for a view of the head that starts n bytes later.
func shiftHead(h *Head, n uint16) *Head {
	h.TargetOffset -= n
	if h.HostLength > 0 {
		h.HostOffset -= n
	}
	fields := make([]Field, len(h.Fields))
	for i, f := range h.Fields {
		fields[i] = Field{f.NameOffset - n, f.NameLength, f.ValueOffset - n, f.ValueLength}
	}
	h.Fields = fields
	return h
}

// FuzzChunked checks of any bytes: no panic; the same result however they are cut; that exactly the
// bodies that referenceDecode accepts are decoded, to the same data; that all errors are status 400.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("5;a=\"b\\\"\" ; c\r\nhello\r\n0\r\nX: y\r\n\r\nnext"), uint16(3))
	f.Add([]byte("00A\r\n0123456789\r\n0;x\r\n\r\n"), uint16(9))
	for _, test := range smuggling {
		if test.status == 0 && len(test.after) > 1 {
			f.Add([]byte(test.after), uint16(1))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, cut uint16) {
		data, consumed, done, status := decodePieces(t, body)
		if status != 0 && status != 400 {
			t.Fatalf("status %d", status)
		}
		want, wantConsumed, ok := referenceDecode(body)
		if done != ok || done && (!bytes.Equal(data, want) || consumed != wantConsumed) {
			t.Fatalf("%q, %d, done %t; reference: %q, %d, %t", data, consumed, done, want, wantConsumed, ok)
		}
		every := make([]int, len(body))
		for i := range every {
			every[i] = i
		}
		for how, lengths := range [][]int{{min(int(cut), len(body))}, every} {
			splitData, splitConsumed, splitDone, splitStatus := decodePieces(t, body, lengths...)
			if !bytes.Equal(splitData, data) || splitDone != done || splitStatus != status || done && splitConsumed != consumed {
				t.Fatalf("pieces %d: %q, %d, done %t, status %d; want %q, %d, %t, %d",
					how, splitData, splitConsumed, splitDone, splitStatus, data, consumed, done, status)
			}
		}
	})
}
