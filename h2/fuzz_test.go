package h2

import (
	"testing"
)

// FuzzReceive gives a connection with requests under way whatever bytes, in two cuts. However that ends,
// every stream has one outcome, and nothing is left.
func FuzzReceive(f *testing.F) {
	w := newWorld(f)
	f.Add(w.conversation(1), uint16(7), uint8(0))
	f.Add(frameOf(frameSettings, 0, 0, appendSetting(appendSetting(nil, settingInitialWindowSize, 5), settingMaxConcurrentStreams, 1)), uint16(9), uint8(1))
	f.Add(frameOf(frameGoAway, 0, 0, make([]byte, 8)), uint16(3), uint8(2))
	f.Add(frameOf(frameReset, 0, 3, number(uint32(RefusedStream))), uint16(3), uint8(3))
	f.Add(append(frameOf(frameWindowUpdate, 0, 0, number(99)), frameOf(frameWindowUpdate, 0, 3, number(1<<30))...), uint16(3), uint8(4))
	f.Fuzz(func(t *testing.T, data []byte, cut uint16, how uint8) {
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
		pieces := [][]byte{data}
		if int(cut) < len(data) {
			pieces = [][]byte{data[:cut], data[cut:]}
		}
		for _, piece := range pieces {
			if w.conn.Receive(piece) != nil {
				break
			}
			if e.stops && e.stream.ID() != 0 {
				e.stream.Resume()
			}
		}
		if w.conn.sendWindow < 0 || w.conn.receiveWindow < 0 {
			t.Errorf("windows of %d and %d", w.conn.sendWindow, w.conn.receiveWindow)
		}
		if len(w.conn.in) > frameSizeMax+frameHeadSize+len(data) || len(w.conn.block) > blockMax {
			t.Errorf("%d and %d bytes are kept", len(w.conn.in), len(w.conn.block))
		}
		w.conn.Fail("the end")
		for i, e := range w.streams {
			if !e.isOver || e.stream.ID() != 0 {
				t.Errorf("stream %d has no outcome", i)
			}
		}
		if w.conn.Streams() != 0 || len(w.conn.blocked) != 0 {
			t.Errorf("%d streams are left, %d wait", w.conn.Streams(), len(w.conn.blocked))
		}
		w.take() // is well-formed
	})
}
