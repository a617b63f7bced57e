package isolates

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"nano/isolates/shim"
)

// InspectorOptions are those of an Inspector.
type InspectorOptions struct {
	// Base is the folder that the names of the app's modules are relative to: clients see them as file URLs.
	Base string
	// Break makes the first start of the app wait for a client, until that says Runtime.runIfWaitingForDebugger,
	// and stand before its first line then.
	Break bool
	// PauseMax is how long the app stands still at the most; 0: as long as the client likes.
	PauseMax time.Duration
}

// Inspector is what an app can be debugged by, with clients of the Chrome DevTools Protocol. It stays the
// same while isolates of the app come and go, or versions of it: the one that was started last is debugged, and
// sessions go on in it, with their breakpoints.
//
// While an app stands at a breakpoint its loop's thread waits, and with it all other apps of the loop. Its time
// limits, and all of its loop's, stand still meanwhile.
type Inspector struct {
	inspector shim.Inspector
	base      string
}

// NewInspector makes an inspector, which lives as long as the process; see PoolOptions.Inspect.
func NewInspector(o InspectorOptions) *Inspector {
	base := "file://" + strings.NewReplacer("%", "%25", " ", "%20", "?", "%3F", "#", "%23").Replace(strings.TrimSuffix(o.Base, "/")) + "/"
	return &Inspector{shim.NewInspector(base, o.Break, o.PauseMax), o.Base}
}

// sourceMax is the longest source in bytes that is put into a map for clients.
const sourceMax = 4 << 20

// withSources puts the sources into a map that does not have them: a client may not be able, or not be
// allowed, to read files. What cannot be read is left out, and a map that is none stays as it is.
func (n *Inspector) withSources(text []byte) []byte {
	var sourceMap map[string]json.RawMessage
	var sources []string
	if json.Unmarshal(text, &sourceMap) != nil || json.Unmarshal(sourceMap["sources"], &sources) != nil || sourceMap["sourcesContent"] != nil {
		return text
	}
	contents := make([]*string, len(sources))
	for i, name := range sources {
		if !filepath.IsAbs(name) {
			name = filepath.Join(n.base, name)
		}
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() || info.Size() > sourceMax {
			continue
		}
		if content, err := os.ReadFile(name); err == nil {
			source := string(content)
			contents[i] = &source
		}
	}
	var err error
	if sourceMap["sourcesContent"], err = json.Marshal(contents); err != nil {
		return text
	}
	filled, err := json.Marshal(sourceMap)
	if err != nil {
		return text
	}
	return filled
}

// Stop ends all sessions and pauses; no more begin. From any goroutine.
func (n *Inspector) Stop() { n.inspector.Stop() }

// Release has the app go on if it stands at a breakpoint, and stand at none until it is called with false, or
// another version starts: what waits for the app's loop need not wait for a client then. From any goroutine.
func (n *Inspector) Release(isReleased bool) { n.inspector.Release(isReleased) }

// Errors of sessions.
var (
	ErrInspector        = errors.New("there are too many sessions, or the node ends")
	ErrInspectorSession = errors.New("the session has ended")
)

// InspectorSession is the session of one client. Receive may run beside the other methods.
type InspectorSession struct {
	session   shim.Session
	receiving sync.Mutex
	sending   sync.Mutex
	isFreed   bool // under both
}

// Connect begins a session.
func (n *Inspector) Connect() (*InspectorSession, error) {
	session, ok := n.inspector.Open()
	if !ok {
		return nil, ErrInspector
	}
	return &InspectorSession{session: session}, nil
}

// Send brings a message of the client, as JSON. It does not wait.
func (s *InspectorSession) Send(message []byte) error {
	if !utf8.Valid(message) {
		return errors.New("a message of the client is not UTF-8")
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	if s.isFreed || !s.session.Send(message) {
		return ErrInspectorSession
	}
	return nil
}

// Receive waits for a message to the client, in one goroutine. ErrInspectorSession: none comes any more.
func (s *InspectorSession) Receive() ([]byte, error) {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	if s.isFreed {
		return nil, ErrInspectorSession
	}
	message, ok := s.session.Receive()
	if !ok {
		return nil, ErrInspectorSession
	}
	return message, nil
}

// Close ends the session. The app goes on if it stood still for this client alone.
func (s *InspectorSession) Close() {
	s.sending.Lock()
	defer s.sending.Unlock()
	if s.isFreed {
		return
	}
	s.session.Close()
	s.receiving.Lock() // Receive returns
	defer s.receiving.Unlock()
	s.isFreed = true
	s.session.Free()
}

func (p *Pool) inspectorOf(app *App) *Inspector {
	if p.options.Inspect == nil {
		return nil
	}
	return p.options.Inspect(app.Name())
}

// startInspected starts an app that can be debugged: from its source, since V8 cannot debug what came with a
// snapshot.
func (p *Pool) startInspected(app *App, inspector *Inspector) (*Isolate, error) {
	bundle := app.image.Load().bundle
	if bundle == nil {
		file, err := app.image.Load().open()
		if err != nil {
			return nil, err
		}
		bundle, err = ImageBundle(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
	image := &Image{bundle: bundle}
	loaded, err := image.acquire()
	if err != nil {
		return nil, err
	}
	for k, module := range bundle.modules {
		if len(module.Map) != 0 {
			loaded.image.Map(k, inspector.withSources(module.Map))
		}
	}
	i := &Isolate{app: app, runtime: p.runtime, wake: p.options.Wake, image: image, loaded: loaded, inspector: inspector}
	if i.isolate, err = i.restore(); err != nil {
		image.release()
		return nil, err
	}
	return i, nil
}

// Paused is for how long the isolate's thread has worked and waited for debuggers so far.
func (i *Isolate) Paused() time.Duration { return i.paused + time.Duration(i.isolate.Shared.PausedNS) }
