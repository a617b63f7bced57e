// Package inspector serves what can be debugged to clients of the Chrome DevTools Protocol, such as Chrome's
// DevTools and VS Code: a list of targets over HTTP, and for each a WebSocket, as Node.js and Chrome have them.
//
// Who may connect can run any code in an app. The server is for developers, on a loopback address. Web
// pages, which a browser lets talk to such addresses, are kept out in three ways: the name of each target is
// random, requests by a host name other than localhost are refused (a page could have its own name resolve to
// 127.0.0.1), and so are WebSockets of pages.
package inspector

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Session is that of one client with a target. Receive runs beside the other methods.
type Session interface {
	// Send brings a message of the client. An error ends the session.
	Send(message []byte) error
	// Receive waits for a message to the client. An error: none comes any more.
	Receive() ([]byte, error)
	// Close ends the session. It is called once, and makes Receive return.
	Close()
}

// Target is something to debug. It stays the same while what it stands for is replaced.
type Target struct {
	Title   string // what people know it by
	URL     string // of its main script
	Connect func() (Session, error)
}

// Options of a Server.
type Options struct {
	Targets []Target // with titles that differ
	Version string   // of the program, such as "nano/1.0"
	// Problem is told what goes wrong with a connection; may be nil.
	Problem func(err error)
}

// Server serves clients until Close.
type Server struct {
	options Options
	address string
	http    *http.Server
	ended   chan struct{}

	mutex    sync.Mutex
	targets  []Target
	ids      map[string]string // of the targets that there have ever been, by title
	isClosed bool
	sockets  map[*websocket.Conn]struct{}
	running  sync.WaitGroup
}

const (
	// messageMax is the longest message of a client in bytes: scripts that it edits, for instance.
	messageMax = 16 << 20
	// writeTimeout is for how long a client may take nothing of a message.
	writeTimeout = 20 * time.Second
	// headerTimeout is for how long a request may take to come.
	headerTimeout = 10 * time.Second
)

// Serve serves the targets on a listener, which it owns from here on.
func Serve(listener net.Listener, o Options) *Server {
	s := &Server{options: o, address: listener.Addr().String(), ended: make(chan struct{}),
		ids: map[string]string{}, sockets: map[*websocket.Conn]struct{}{}}
	s.SetTargets(o.Targets)
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: headerTimeout}
	go func() {
		defer close(s.ended)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.problem(err)
		}
	}()
	return s
}

// SetTargets replaces the targets. Those with the title of one before are found where that was; sessions with targets
// that are gone go on.
func (s *Server) SetTargets(targets []Target) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.targets = slices.Clone(targets)
	for _, target := range targets {
		if s.ids[target.Title] == "" {
			s.ids[target.Title] = newID()
		}
	}
}

// all gives the targets and, beside them, their ids.
func (s *Server) all() (targets []Target, ids []string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, target := range s.targets {
		ids = append(ids, s.ids[target.Title])
	}
	return s.targets, ids
}

// newID makes a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (s *Server) problem(err error) {
	if s.options.Problem != nil {
		s.options.Problem(err)
	}
}

// Close ends all connections, and with them their sessions.
func (s *Server) Close() {
	s.mutex.Lock()
	s.isClosed = true
	for socket := range s.sockets {
		_ = socket.Close() // its goroutines see to the rest
	}
	s.mutex.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nothing that it serves over HTTP takes long enough to be waited for
	_ = s.http.Shutdown(ctx)
	_ = s.http.Close()
	<-s.ended
	s.running.Wait()
}

// DevTools are the addresses that Chrome opens its DevTools by, in the order of the targets.
func (s *Server) DevTools() []string {
	var addresses []string
	_, ids := s.all()
	for _, id := range ids {
		addresses = append(addresses, devTools(s.address, id))
	}
	return addresses
}

func devTools(address, id string) string {
	return "devtools://devtools/bundled/js_app.html?experiments=true&v8only=true&ws=" + address + "/" + id
}

// ServeHTTP answers a client.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isLocal(r.Host) {
		http.Error(w, "nano: inspector: the host must be an IP address or localhost", http.StatusForbidden)
		return
	}
	if websocket.IsWebSocketUpgrade(r) {
		s.serveSocket(w, r)
		return
	}
	var answer any
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/json", "/json/list":
		answer = s.list(r.Host)
	case "/json/version":
		answer = map[string]string{"Browser": s.options.Version, "Protocol-Version": "1.3"}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("content-type", "application/json; charset=UTF-8")
	w.Header().Set("cache-control", "no-cache")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(answer) // the client may be gone
}

// listed is a target as /json/list shows it. The names are the protocol's.
type listed struct {
	Description          string `json:"description"`
	DevtoolsFrontendURL  string `json:"devtoolsFrontendUrl"`
	FaviconURL           string `json:"faviconUrl,omitempty"`
	ID                   string `json:"id"`
	Title                string `json:"title"`
	Type                 string `json:"type"`
	URL                  string `json:"url"`
	WebSocketDebuggerURL string `json:"webSocketDebuggerUrl"`
}

// list shows the targets to a client that knows the server by host.
func (s *Server) list(host string) []listed {
	shown := []listed{}
	targets, ids := s.all()
	for i, target := range targets {
		shown = append(shown, listed{
			Description:          "an app of nano",
			DevtoolsFrontendURL:  devTools(host, ids[i]),
			ID:                   ids[i],
			Title:                target.Title,
			Type:                 "node", // clients treat others as pages of a browser
			URL:                  target.URL,
			WebSocketDebuggerURL: "ws://" + host + "/" + ids[i],
		})
	}
	return shown
}

// isLocal reports whether a Host header names an IP address or localhost: then it was no other name that
// has led the client here.
func isLocal(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return strings.EqualFold(host, "localhost") || strings.EqualFold(host, "localhost.")
}

// isTool reports whether a WebSocket is one of a program, or of a browser's own DevTools, rather than of a page.
func isTool(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	from, err := url.Parse(origin)
	return err == nil && (from.Scheme == "devtools" || from.Scheme == "vscode-webview" || from.Host == r.Host)
}

var upgrader = websocket.Upgrader{CheckOrigin: isTool, EnableCompression: false}

// serveSocket connects a client to the target that its path names.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	targets, ids := s.all()
	for i, id := range ids {
		if r.URL.Path != "/"+id {
			continue
		}
		session, err := targets[i].Connect()
		if err != nil {
			http.Error(w, "nano: inspector: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer session.Close()
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			s.problem(fmt.Errorf("a client of the inspector: %w", err))
			return
		}
		s.relay(socket, session)
		return
	}
	http.Error(w, "nano: inspector: there is no such target; see /json/list", http.StatusNotFound)
}

// relay carries messages both ways until either side ends.
func (s *Server) relay(socket *websocket.Conn, session Session) {
	s.mutex.Lock()
	if s.isClosed {
		s.mutex.Unlock()
		_ = socket.Close()
		return
	}
	s.sockets[socket] = struct{}{}
	s.running.Add(1)
	s.mutex.Unlock()
	defer s.running.Done()
	defer func() {
		s.mutex.Lock()
		delete(s.sockets, socket)
		s.mutex.Unlock()
		_ = socket.Close()
	}()
	go func() {
		sendAll(socket, session)
		_ = socket.Close() // the reader below returns
	}()
	socket.SetReadLimit(messageMax)
	for {
		kind, message, err := socket.ReadMessage()
		if err != nil || kind == websocket.TextMessage && session.Send(message) != nil {
			return
		}
	}
}

// sendAll sends what comes for a client, until nothing more does or it stops reading.
func sendAll(socket *websocket.Conn, session Session) {
	for {
		message, err := session.Receive()
		if err != nil {
			closing := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
			_ = socket.WriteControl(websocket.CloseMessage, closing, time.Now().Add(time.Second))
			return
		}
		if socket.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil || socket.WriteMessage(websocket.TextMessage, message) != nil {
			return
		}
	}
}
