package loop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"nano/dns"
	"nano/isolates"
)

// echoMessages is an app, without a world, that answers with WebSockets that echo.
func echoMessages() *fakeWorker {
	requests := map[int32]uint32{}
	w := newFakeWorker("demo", func(w *fakeWorker, r *fakeRequest) {
		w.handles++
		requests[w.handles] = r.id
		w.record(isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatUpgrade, Handle: w.handles, Pending: true, Exchange: r.id})
		w.record(isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: 101, Source: w.handles, Pending: true, NoBody: true})
	})
	w.onNews = func(w *fakeWorker, news *fakeNews) {
		switch news.what {
		case "opened":
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: 64 << 10})
		case "data":
			w.record(isolates.Record{Kind: isolates.KindWrite, Handle: news.handle, Flags: uint16(news.number), Body: []byte(news.text)})
			w.record(isolates.Record{Kind: isolates.KindRead, Handle: news.handle, Number: int64(len(news.text))})
		case "closed":
			w.record(isolates.Record{Kind: isolates.KindSettled, ID: requests[news.handle]})
		}
	}
	return w
}

// A client that we did not write, over real sockets, with and without compression.
func TestWebSocketOfAnotherClient(t *testing.T) {
	node, address := startNode(t, func(o *NodeOptions) {
		o.Options.NewShard = shardOf(func(int) (Worker, error) { return echoMessages(), nil })
	})
	for _, compresses := range []bool{false, true} {
		dialer := websocket.Dialer{EnableCompression: compresses, HandshakeTimeout: patience(t)}
		c, response, err := dialer.Dial("ws://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Header.Get("Sec-WebSocket-Extensions") != ""; got != compresses {
			t.Errorf("compression is %v", got)
		}
		speak(t, c)
		c.Close()
	}
	eventually(t, "connections closed", func() bool { return node.sum().Connections == 0 })
}

// speak has another implementation talk to an echo, to the end.
func speak(t *testing.T, c *websocket.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience(t))); err != nil {
		t.Fatal(err)
	}
	pongs := 0
	c.SetPongHandler(func(text string) error { pongs++; return nil })
	for _, n := range []int{0, 1, 125, 126, 1000, 65535, 65536, 300_000, 1 << 20} {
		for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
			message := []byte(strings.Repeat("message ", n/8+1)[:n])
			if err := c.WriteMessage(kind, message); err != nil {
				t.Fatal(err)
			}
			if err := c.WriteControl(websocket.PingMessage, []byte("p"), time.Now().Add(patience(t))); err != nil {
				t.Fatal(err)
			}
			if got, echo, err := c.ReadMessage(); err != nil || got != kind || !bytes.Equal(echo, message) {
				t.Fatalf("%d bytes: got kind %d, %d bytes, %v", n, got, len(echo), err)
			}
		}
	}
	bye := websocket.FormatCloseMessage(4000, "bye")
	if err := c.WriteMessage(websocket.CloseMessage, bye); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 4000) {
		t.Errorf("the end was %v", err)
	}
	if pongs == 0 {
		t.Error("no ping was answered")
	}
}

// A server that we did not write, over TLS.
func TestWebSocketOfAnotherServer(t *testing.T) {
	f := newSecureFetcher(t, func(o *Options) {
		o.names = fixedNames(&dns.Config{Hosts: dns.ParseHosts("127.0.0.1 origin.example\n")})
	})
	upgrader := websocket.Upgrader{EnableCompression: true, Subprotocols: []string{"chat"}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, message, err := c.ReadMessage()
			if err != nil {
				return
			}
			if c.WriteMessage(kind, message) != nil {
				return
			}
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{f.authority.Sign(nil)}}
	server.EnableHTTP2 = true // which must not be chosen
	server.StartTLS()
	defer server.Close()
	s := f.speak()
	messages := 0
	hear := f.worker.onNews
	f.worker.onNews = func(w *fakeWorker, news *fakeNews) {
		if news.what == "data" {
			messages++
		}
		hear(w, news)
	}
	s.number++
	s.do(isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatWebSocket, Handle: s.number, Head: []byte("sec-websocket-protocol: x, chat\r\n"),
		Target: fmt.Appendf(nil, "GET wss://origin.example:%d/", server.Listener.Addr().(*net.TCPAddr).Port)})
	s.await("opened 0 chat\npermessage-deflate")
	s.read(s.number, 64<<10)
	for i, n := range []int{0, 10, 1000, 70_000, 500_000} {
		message := strings.Repeat("0123456789", n/10)
		s.do(isolates.Record{Kind: isolates.KindWrite, Handle: s.number, Flags: isolates.WriteText, Body: []byte(message)})
		s.real.until("an echo", func() bool { return messages == i+1 })
		if s.text != message {
			t.Errorf("got %d bytes, want %d", len(s.text), n)
		}
		s.text = ""
	}
	s.do(isolates.Record{Kind: isolates.KindFinish, Handle: s.number, Status: 3001, Target: []byte("bye")})
	s.await("closed 3001")
}
