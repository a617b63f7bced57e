package apps

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"nano/bundle"
	"nano/isolates"
)

// Request is what a builder process is asked to do.
type Request struct {
	ID     uint64 `json:"id"` // comes back in the Reply
	Name   string `json:"name"`
	Warmup string `json:"warmup,omitempty"`
	// Death is how another builder ended when it was asked for a snapshot: make an image without
	// one. "": try.
	Death  string `json:"death,omitempty"`
	Bundle []byte `json:"-"` // isolates.Bundle, encoded
	// Entry asks for a bundle instead of an image; nil: it does not.
	Entry *bundle.Options `json:"entry,omitempty"`
}

// Reply is a builder's answer.
type Reply struct {
	ID uint64 `json:"id"`
	// Problem is what is wrong with the app, so that it cannot be started at all, with the place
	// in its source; "": nothing.
	Problem string `json:"problem,omitempty"`
	// Reason is why the app starts from its source instead of a snapshot; "": it need not.
	Reason string `json:"reason,omitempty"`
	// WarmUpNote is why the app was not warmed up though that was wished; "": it was, or need not.
	WarmUpNote string `json:"warm_up_note,omitempty"`
	// Log is what the app logged at its top level.
	Log []isolates.LogLine `json:"log,omitempty"`
	// Image is a snapshot file, or an encoded bundle.Result; empty if there is a Problem.
	Image []byte `json:"-"`
	// Diagnostics are why an app cannot be bundled, if it is for its files.
	Diagnostics *bundle.Diagnostics `json:"diagnostics,omitempty"`
	// HasDied says that builders died, not of the app for certain, so that the Reason may be one of the moment. Set
	// by Builder.BuildImage.
	HasDied bool `json:"-"`
}

// A frame is a JSON object and bytes behind it:
//
//	frameMagic (4) · length of the object (4) · length of the bytes (4) · object · bytes
//
// Integers are little-endian.
const (
	frameMagic       = 0x444c424e // "NBLD"
	objectLengthMax  = 1 << 20
	payloadLengthMax = 1 << 30
)

var errFrame = errors.New("malformed message")

func writeFrame(to io.Writer, object any, payload []byte) error {
	encoded, err := json.Marshal(object)
	if err != nil {
		return err
	}
	if len(encoded) > objectLengthMax || len(payload) > payloadLengthMax {
		return fmt.Errorf("message of %d and %d bytes is too long", len(encoded), len(payload))
	}
	head := binary.LittleEndian.AppendUint32(nil, frameMagic)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(encoded)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(payload)))
	for _, part := range [][]byte{append(head, encoded...), payload} {
		if _, err := to.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// readFrame reads a frame into object. io.EOF: there is none.
func readFrame(from io.Reader, object any) (payload []byte, err error) {
	var head [12]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err // io.EOF before the first byte
	}
	objectLength, payloadLength := binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[8:])
	if binary.LittleEndian.Uint32(head[:]) != frameMagic || objectLength > objectLengthMax || payloadLength > payloadLengthMax {
		return nil, errFrame
	}
	encoded, err := readBytes(from, objectLength)
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(encoded, object) != nil {
		return nil, errFrame
	}
	return readBytes(from, payloadLength)
}

// readBytes makes room for what comes, not for what is announced.
func readBytes(from io.Reader, length uint32) ([]byte, error) {
	var buffer bytes.Buffer
	if _, err := io.CopyN(&buffer, from, int64(length)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buffer.Bytes(), nil
}
