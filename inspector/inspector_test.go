package inspector

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// echo is a session that sends everything back.
type echo struct {
	messages chan []byte
	closed   chan struct{}
	once     sync.Once
}

func newEcho() *echo { return &echo{messages: make(chan []byte, 100), closed: make(chan struct{})} }

func (e *echo) Send(message []byte) error {
	if string(message) == "end" {
		return errors.New("it ends")
	}
	e.messages <- message
	return nil
}

func (e *echo) Receive() ([]byte, error) {
	select {
	case message := <-e.messages:
		return message, nil
	case <-e.closed:
		return nil, io.EOF
	}
}

func (e *echo) Close() { e.once.Do(func() { close(e.closed) }) }

func serve(t *testing.T, connect func() (Session, error)) (*Server, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := Serve(listener, Options{Version: "nano/test", Targets: []Target{{Title: "hello", URL: "file:///hello.js", Connect: connect}}})
	t.Cleanup(server.Close)
	return server, listener.Addr().String()
}

func getList(t *testing.T, address, path string) []listed {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var targets []listed
	if err := json.NewDecoder(response.Body).Decode(&targets); err != nil || response.StatusCode != 200 {
		t.Fatalf("%d, %v", response.StatusCode, err)
	}
	return targets
}

func TestServesClients(t *testing.T) {
	session := newEcho()
	server, address := serve(t, func() (Session, error) { return session, nil })
	for _, path := range []string{"/json", "/json/list", "/json/"} {
		targets := getList(t, address, path)
		if len(targets) != 1 || targets[0].Title != "hello" || targets[0].Type != "node" ||
			!strings.HasPrefix(targets[0].WebSocketDebuggerURL, "ws://"+address+"/") {
			t.Errorf("%s: %+v", path, targets)
		}
		if tools := server.DevTools()[0]; tools != targets[0].DevtoolsFrontendURL || !strings.HasSuffix(tools, "ws="+address+"/"+targets[0].ID) {
			t.Errorf("DevTools are at %s", tools)
		}
	}
	response, err := http.Get("http://" + address + "/json/version")
	if err != nil {
		t.Fatal(err)
	}
	version, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if !strings.Contains(string(version), `"nano/test"`) {
		t.Errorf("%s", version)
	}
	socket, _, err := websocket.DefaultDialer.Dial(getList(t, address, "/json/list")[0].WebSocketDebuggerURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, message := range []string{"{}", strings.Repeat("x", 1<<20)} {
		if err := socket.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := socket.ReadMessage(); err != nil || string(got) != message {
			t.Errorf("%d bytes came back of %d, %v", len(got), len(message), err)
		}
	}
	socket.Close()
	select {
	case <-session.closed:
	case <-time.After(10 * time.Second):
		t.Error("the session goes on without its client")
	}
}

// TestKeepsPagesOut: what a page of the Web could do.
func TestKeepsPagesOut(t *testing.T) {
	_, address := serve(t, func() (Session, error) { return newEcho(), nil })
	_, port, _ := net.SplitHostPort(address)
	for host, want := range map[string]int{
		"localhost:" + port: 200, "LOCALHOST": 200, "127.0.0.1": 200, "[::1]:9229": 200, "10.0.0.1:1": 200,
		"evil.example:" + port: 403, "localhost.evil.example": 403, "127.0.0.1.evil.example:80": 403, "": 403,
	} {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(connection, "GET /json HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		answer, _ := io.ReadAll(connection)
		connection.Close()
		if !strings.HasPrefix(string(answer), fmt.Sprintf("HTTP/1.1 %d ", want)) {
			t.Errorf("host %q: %.60q, want %d", host, answer, want)
		}
	}
	target := getList(t, address, "/json")[0].WebSocketDebuggerURL
	for origin, want := range map[string]bool{
		"": true, "devtools://devtools": true, "http://" + address: true,
		"https://evil.example": false, "null": false, "http://localhost.evil.example": false, "http://127.0.0.1:1": false,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		socket, _, err := websocket.DefaultDialer.Dial(target, header)
		if (err == nil) != want {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err == nil {
			socket.Close()
		}
	}
	if _, response, err := websocket.DefaultDialer.Dial("ws://"+address+"/guessed", nil); err == nil || response.StatusCode != 404 {
		t.Error("a client connected to a target that there is not")
	}
}

func TestSessionsEnd(t *testing.T) {
	var refused error
	server, address := serve(t, func() (Session, error) {
		if refused != nil {
			return nil, refused
		}
		return newEcho(), nil
	})
	target := getList(t, address, "/json")[0].WebSocketDebuggerURL
	dial := func() *websocket.Conn {
		socket, _, err := websocket.DefaultDialer.Dial(target, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { socket.Close() })
		return socket
	}
	socket := dial()
	if err := socket.WriteMessage(websocket.TextMessage, []byte("end")); err != nil {
		t.Error(err)
	}
	if _, _, err := socket.ReadMessage(); err == nil {
		t.Error("the session has ended, and the connection has not")
	}
	large := dial()
	_ = large.WriteMessage(websocket.TextMessage, make([]byte, messageMax+1))
	if _, _, err := large.ReadMessage(); err == nil {
		t.Error("a message that is too long")
	}
	socket = dial()
	server.Close()
	if _, _, err := socket.ReadMessage(); err == nil {
		t.Error("a connection of a closed server")
	}
}

// TestTargetsChange: targets come and go; those that stay are found where they were.
func TestTargetsChange(t *testing.T) {
	connect := func() (Session, error) { return newEcho(), nil }
	server, address := serve(t, connect)
	before := getList(t, address, "/json/list")
	server.SetTargets([]Target{{Title: "added", Connect: connect}, {Title: "hello", Connect: connect}})
	after := getList(t, address, "/json/list")
	if len(after) != 2 || after[0].Title != "added" || after[0].ID == before[0].ID || after[1].ID != before[0].ID {
		t.Errorf("before %+v, after %+v", before, after)
	}
	server.SetTargets(nil)
	if left := getList(t, address, "/json/list"); len(left) != 0 {
		t.Errorf("left are %+v", left)
	}
	if _, response, err := websocket.DefaultDialer.Dial(before[0].WebSocketDebuggerURL, nil); err == nil || response == nil || response.StatusCode != 404 {
		t.Errorf("a target that is gone: %v, %v", response, err)
	}
}
