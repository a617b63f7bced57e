package loop

import (
	"errors"
	"strings"

	"nano/http1"
	"nano/isolates"
)

// A probe is a request of the node itself to an app, to see that it is well: the caller of an exchange without a
// connection. The body of the answer is not wanted.
type probe struct {
	app      *sharedApp
	head     []byte
	loop     *Loop
	exchange *exchange // nil: over
	change   *change

	status int
	err    error
	none   chain
}

// newProbe makes the probe of a path, which may have a query.
func newProbe(app *sharedApp, path string) (*probe, error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("loop: the path of a probe begins with / and is printable ASCII without spaces")
	}
	host := "localhost"
	for _, name := range app.Hosts {
		if !strings.HasPrefix(name, "*.") {
			host = name
			break
		}
	}
	return &probe{app: app, head: []byte("GET " + path + " HTTP/1.1\r\nhost: " + host + "\r\nuser-agent: " + userAgent + "\r\n\r\n")}, nil
}

// begin sends the request, on the app's loop.
func (p *probe) begin(l *Loop) {
	p.loop = l
	if l.draining {
		p.end(0, ErrEnded)
		return
	}
	if err := l.head.Parse(p.head, http1.MaxHeadLength); err != nil {
		p.end(0, err)
		return
	}
	l.call(p.app, p, p.head, nil)
}

// end tells who asked.
func (p *probe) end(status int, err error) {
	p.status, p.err = status, err
	p.change.finished()
}

// describe implements caller.
func (p *probe) describe(*isolates.Request) {}

// requestBody implements caller.
func (p *probe) requestBody() (*bodyReader, source) { return nil, nil }

// asked implements caller.
func (p *probe) asked(e *exchange) { p.exchange = e }

// chain implements caller.
func (p *probe) chain() *chain { return &p.none }

// answered implements caller.
func (p *probe) answered(record *isolates.Record, from source, streams, _ bool) {
	e := p.exchange
	p.exchange = nil
	if from != nil {
		from.cancel()
	}
	if streams {
		p.loop.callerGone(e)
	}
	p.end(int(record.Status), nil)
}

// chunk implements caller.
func (p *probe) chunk(*isolates.Record) {}

// finished implements caller.
func (p *probe) finished(*fault) {}

// refused implements caller: a limit was reached, or the app did not start.
func (p *probe) refused(status int, _ []byte, text string) {
	p.exchange = nil
	err := errors.New(strings.TrimPrefix(text, "nano: "))
	if w := p.loop.known(p.app); w != nil && w.isolate == nil && w.startError != nil {
		err = w.startError
	}
	p.end(status, err)
}
