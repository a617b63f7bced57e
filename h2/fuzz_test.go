package h2

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// cutBy divides data into pieces of splits[i]+1 bytes, again from the first when there are no more; whole if there are none.
func cutBy(data, splits []byte) (pieces [][]byte) {
	for i := 0; len(splits) > 0 && len(data) > 0; i++ {
		n := min(int(splits[i%len(splits)])+1, len(data))
		pieces, data = append(pieces, data[:n]), data[n:]
	}
	if len(data) > 0 {
		pieces = append(pieces, data)
	}
	return pieces
}

// receiveFuzzed has a connection with three requests under way receive pieces, and end. It gives what the requests
// came to.
func receiveFuzzed(t *testing.T, pieces [][]byte, total int, how uint8) (outcomes []string) {
	w := newWorld(t)
	for range 2 {
		w.open(true)
	}
	e := w.open(false)
	e.stops = how&1 != 0
	e.stream.Write(make([]byte, int(how)<<10))
	if how&2 != 0 {
		e.stream.End()
	}
	for _, piece := range pieces {
		if w.conn.Receive(bytes.Clone(piece)) != nil {
			break
		}
		if e.stops && e.stream.ID() != 0 {
			e.stream.Resume()
		}
	}
	if w.conn.sendWindow < 0 || w.conn.receiveWindow < 0 {
		t.Errorf("windows of %d and %d", w.conn.sendWindow, w.conn.receiveWindow)
	}
	if len(w.conn.in) > frameSizeMax+frameHeadSize+total || len(w.conn.block) > blockMax {
		t.Errorf("%d and %d bytes are kept", len(w.conn.in), len(w.conn.block))
	}
	w.conn.Fail("the end")
	for i, e := range w.streams {
		if !e.isOver || e.stream.ID() != 0 {
			t.Errorf("stream %d has no outcome", i)
		}
		outcomes = append(outcomes, fmt.Sprintf("%d %q %q %q", e.status, e.lines, e.body, e.failure))
	}
	if w.conn.Streams() != 0 || len(w.conn.blocked) != 0 {
		t.Errorf("%d streams are left, %d wait", w.conn.Streams(), len(w.conn.blocked))
	}
	w.take() // is well-formed
	return outcomes
}

// FuzzReceive gives a connection with requests under way whatever bytes, in pieces. However that ends, every stream
// has one outcome, which is the same when the bytes come at once, and nothing is left.
func FuzzReceive(f *testing.F) {
	// Each has a compressor of its own, so that it can stand anywhere.
	conversation := func(stream uint32) []byte { return newWorld(f).conversation(stream) }
	fields := func(list ...string) []byte { return newWorld(f).fields(list...) }
	settings := frameOf(frameSettings, 0, 0, appendSetting(appendSetting(nil, settingInitialWindowSize, 5), settingMaxConcurrentStreams, 1))
	reset := frameOf(frameReset, 0, 3, number(uint32(RefusedStream)))
	goAway := frameOf(frameGoAway, 0, 0, append(number(1), number(0)...))
	windows := append(frameOf(frameWindowUpdate, 0, 0, number(99)), frameOf(frameWindowUpdate, 0, 3, number(1<<30))...)
	short := frameOf(frameHeaders, flagEndHeaders|flagEndStream, 3, fields(":status", "204", "set-cookie", "a=b", "set-cookie", "c=d"))
	sized := append(frameOf(frameHeaders, flagEndHeaders, 5, fields(":status", "200", "content-length", "5")), frameOf(frameData, flagEndStream, 5, []byte("hello"))...)
	for i, seed := range [][][]byte{
		{conversation(1)}, {settings}, {goAway}, {reset}, {windows}, {short}, {sized},
		{settings, conversation(1), short, sized}, {conversation(5), reset, conversation(1)},
		{sized[:len(sized)-5], []byte("hel"), goAway}, {conversation(1), goAway, windows, short, sized, settings},
	} {
		f.Add(bytes.Join(seed, nil), []byte{byte(i), 0, 8}, uint8(i))
	}
	f.Fuzz(func(t *testing.T, data, splits []byte, how uint8) {
		outcomes := receiveFuzzed(t, cutBy(data, splits), len(data), how)
		// A body that stops is let go on after each piece, so what it has got by an error depends on them.
		if whole := receiveFuzzed(t, [][]byte{data}, len(data), how); how&1 == 0 && !slices.Equal(outcomes, whole) {
			t.Errorf("in pieces %q, at once %q", outcomes, whole)
		}
	})
}
