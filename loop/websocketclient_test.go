package loop

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
	"nano/ws"
)

// A callWorld has an isolate that opens WebSockets to a server, which the test is.
type callWorld struct {
	*fetcher
	told []string
}

func newCallWorld(t testing.TB) *callWorld {
	c := &callWorld{fetcher: newFetcher(t, fakering.Config{}, nil)}
	c.worker.onNews = func(w *fakeWorker, news *fakeNews) {
		line := fmt.Sprintf("%s %d %s", news.what, news.number, news.text)
		switch news.what {
		case "opened":
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: 256 << 10})
		case "closed":
			line += fmt.Sprintf(" %v", news.clean)
		case "response":
			line += news.head
		}
		c.told = append(c.told, line)
	}
	return c
}

func (c *callWorld) said(want ...string) {
	c.t.Helper()
	if got := strings.Join(c.told, "\n"); got != strings.Join(want, "\n") {
		c.t.Errorf("the app was told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	c.told = c.told[:0]
}

// call opens a WebSocket, and returns the connection and the key of the request.
func (c *callWorld) call(target, lines string, flags uint16) (peer *fakering.Peer, request, key string) {
	c.t.Helper()
	c.number++
	c.do(isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatWebSocket, Handle: c.number, Target: []byte(target),
		Head: []byte(lines), Flags: flags})
	c.settle()
	if len(c.peers) == 0 {
		c.t.Fatalf("no connection; the app was told %q", c.told)
	}
	peer = c.peers[len(c.peers)-1]
	request = string(peer.Take())
	if found := keyField.FindStringSubmatch(request); found != nil {
		key = found[1]
	}
	return peer, request, key
}

var keyField = regexp.MustCompile("sec-websocket-key: (.*)\r\n")

func acceptance(key, lines string) string {
	return "HTTP/1.1 101 Switching\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		string(ws.AppendAccept(nil, []byte(key))) + "\r\n" + lines + "\r\n"
}

// unmasked takes the frames of a client apart, which must be masked, by different keys.
func unmasked(t testing.TB, b []byte) (frames string) {
	t.Helper()
	before := uint32(0)
	for len(b) != 0 {
		n, at := int(b[1]&0x7f), 2
		if n == 126 {
			n, at = int(binary.BigEndian.Uint16(b[2:])), 4
		} else if n == 127 {
			n, at = int(binary.BigEndian.Uint64(b[2:])), 10
		}
		if b[1]&0x80 == 0 {
			t.Fatal("a frame without a mask")
		}
		key := binary.BigEndian.Uint32(b[at:])
		if key == before {
			t.Error("the same key again")
		}
		before = key
		payload := append([]byte(nil), b[at+4:][:n]...)
		for i := range payload {
			payload[i] ^= b[at+i%4]
		}
		frames += serverFrame(b[0], string(payload))
		b = b[at+4+n:]
	}
	return frames
}

func TestWebSocketClient(t *testing.T) {
	c := newCallWorld(t)
	peer, request, key := c.call("GET ws://192.0.2.80/a?b", "sec-websocket-protocol: x, y\r\nSec-WebSocket-Key: mine\r\norigin: o\r\n", 0)
	want := "GET /a?b HTTP/1.1\r\nhost: 192.0.2.80\r\nsec-websocket-protocol: x, y\r\norigin: o\r\nsec-websocket-version: 13\r\n" +
		"sec-websocket-key: " + key + "\r\nsec-websocket-extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n" +
		"accept: */*\r\naccept-language: *\r\nuser-agent: NANO\r\naccept-encoding: gzip, br, zstd\r\ncdn-loop: nano; hops=1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
	if request != want || !ws.IsKey([]byte(key)) {
		t.Errorf("got %q, want %q", request, want)
	}
	peer.WriteString(acceptance(key, "sec-websocket-protocol: y\r\n") + serverFrame(textFrame, "early"))
	c.settle()
	c.said("opened 0 y\n", "data 1 early")
	for range 2 {
		c.do(isolates.Record{Kind: isolates.KindWrite, Handle: c.number, Flags: isolates.WriteText, Body: []byte("hello")})
	}
	block, body := c.blocks.make([]byte(strings.Repeat("block", 1000)))
	c.do(isolates.Record{Kind: isolates.KindWrite, Handle: c.number, Flags: isolates.WriteBinary | isolates.WriteAck, Body: body, Block: block})
	peer.WriteString(serverFrame(pingFrame, "p"))
	c.settle()
	if got, want := unmasked(t, peer.Take()), serverFrame(pongFrame, "p")+serverFrame(textFrame, "hello")+serverFrame(textFrame, "hello")+
		serverFrame(binaryFrame, strings.Repeat("block", 1000)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.said("written 0 ")
	c.do(isolates.Record{Kind: isolates.KindFinish, Handle: c.number, Status: 1000, Target: []byte("bye")})
	c.settle()
	if got, want := unmasked(t, peer.Take()), serverFrame(closeFrame, closing(1000, "bye")); got != want || peer.Ended() {
		t.Errorf("got %q, want %q", got, want)
	}
	peer.WriteString(serverFrame(closeFrame, closing(1000, "too")))
	c.settle()
	c.said("closed 1000 too true")
	// The server closes first.
	if peer.Closed() {
		t.Error("the connection is closed")
	}
	peer.Close()
	c.settle()
	if !peer.Closed() || c.loop.endpoints.open != 0 {
		t.Error("the connection is open")
	}
}

func TestWebSocketClientIsRefused(t *testing.T) {
	answers := map[string]struct{ answer, want string }{
		"404":            {"HTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\nx", "the server answered with status 404"},
		"200 and a body": {"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx", "the server answered with status 200"},
		"redirect":       {"HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n", "fetch failed: the origin redirects, which the request does not allow (http://192.0.2.80/)"},
		"wrong key":      {acceptance("dGhlIHNhbXBsZSBub25jZQ==", ""), "the Sec-WebSocket-Accept of the server is wrong"},
		"other protocol": {strings.Replace(acceptance("KEY", ""), "WebSocket", "h2c", 1), "the server does not go over to WebSocket"},
		"no connection":  {strings.Replace(acceptance("KEY", ""), "Connection: Upgrade\r\n", "", 1), "the server does not go over to WebSocket"},
		"extension":      {acceptance("KEY", "Sec-WebSocket-Extensions: foo\r\n"), "the server chose extensions that were not offered"},
		"two extensions": {acceptance("KEY", "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"), "the server chose extensions that were not offered"},
	}
	for name, a := range answers {
		t.Run(name, func(t *testing.T) {
			c := newCallWorld(t)
			peer, _, key := c.call("GET ws://192.0.2.80/", "", 0)
			if a.want != "the Sec-WebSocket-Accept of the server is wrong" {
				a.answer = strings.Replace(a.answer, string(ws.AppendAccept(nil, []byte("KEY"))), string(ws.AppendAccept(nil, []byte(key))), 1)
			}
			peer.WriteString(a.answer + serverFrame(textFrame, "never"))
			c.settle()
			if len(c.told) != 1 || !strings.HasPrefix(c.told[0], "end 1 ") || !strings.HasSuffix(c.told[0], a.want) {
				t.Errorf("the app was told %q, want %q", c.told, a.want)
			}
			if n := len(c.loop.handles.byKey); n != 0 {
				t.Errorf("%d handles are left", n)
			}
		})
	}
	t.Run("silence", func(t *testing.T) {
		c := newCallWorld(t)
		c.call("GET ws://192.0.2.80/", "", 0)
		c.run(c.loop.options.FetchHead + time.Second)
		if len(c.told) != 1 || !strings.HasPrefix(c.told[0], "end 3 ") {
			t.Errorf("the app was told %q", c.told)
		}
	})
	t.Run("closed", func(t *testing.T) {
		c := newCallWorld(t)
		peer, _, _ := c.call("GET ws://192.0.2.80/", "", 0)
		peer.Close()
		c.settle()
		if len(c.told) != 1 || !strings.HasPrefix(c.told[0], "end 1 ") {
			t.Errorf("the app was told %q", c.told)
		}
	})
}

// fetch() with Upgrade gets a response, whatever it is.
func TestWebSocketByFetch(t *testing.T) {
	c := newCallWorld(t)
	peer, _, key := c.call("GET http://192.0.2.80/", "", isolates.OpenUpgrade|isolates.OpenManualRedirect)
	peer.WriteString(acceptance(key, ""))
	c.settle()
	c.said("response 101 "+acceptance(key, ""), "opened 0 \n")
	peer.WriteString(serverFrame(binaryFrame, "x") + serverFrame(closeFrame, ""))
	c.settle()
	c.said("data 2 x", "closed 1005  true")
	if got, want := unmasked(t, peer.Take()), serverFrame(closeFrame, ""); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	peer.Close()
	c.settle()

	refusal := "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n"
	peer, _, _ = c.call("GET http://192.0.2.80/", "", isolates.OpenUpgrade)
	peer.WriteString(refusal + "no")
	c.settle()
	c.said("response 403 no" + refusal)
}

func TestWebSocketClientCompresses(t *testing.T) {
	c := newCallWorld(t)
	peer, _, key := c.call("GET ws://192.0.2.80/", "", 0)
	var d ws.Deflater
	text := strings.Repeat("compressible ", 100)
	short := string(d.Deflate([]byte(text), 15))
	peer.WriteString(acceptance(key, "sec-websocket-extensions: permessage-deflate\r\n") + serverFrame(0xc1, short))
	c.settle()
	c.said("opened 0 \npermessage-deflate", "data 1 "+text)
	c.do(isolates.Record{Kind: isolates.KindWrite, Handle: c.number, Flags: isolates.WriteText, Body: []byte(text)})
	c.settle()
	if got, want := unmasked(t, peer.Take()), serverFrame(0xc1, short); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	peer.Reset()
	c.settle()
	c.said("closed 1006  false")
}

func TestWebSocketClientAborts(t *testing.T) {
	for _, isOpen := range []bool{false, true} {
		c := newCallWorld(t)
		peer, _, key := c.call("GET ws://192.0.2.80/", "", 0)
		if isOpen {
			peer.WriteString(acceptance(key, ""))
			c.settle()
			c.said("opened 0 \n")
		}
		c.do(isolates.Record{Kind: isolates.KindCancel, Handle: c.number, Flags: isolates.CancelAll})
		c.settle()
		if !peer.Closed() || len(c.loop.handles.byKey) != 0 {
			t.Errorf("open %v: something is left", isOpen)
		}
		c.said()
	}
}
