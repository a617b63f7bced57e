package tlsclient

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"nano/tlsclient/tlstest"
)

// newClient makes a client that trusts an authority.
func newClient(t testing.TB, a *tlstest.Authority) *Client {
	t.Helper()
	roots, err := Roots(a.PEM())
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(roots)
}

// A pair is a client and a server, between which the test carries bytes.
type pair struct {
	t      testing.TB
	client *Conn
	wire   wire // the server's
	server *tls.Conn
	events chan struct{} // somebody has something to do
	over   chan error    // the server's handshake, or what it did after it
	sent   []byte        // by the client, after Open
	size   int           // of the pieces in which bytes are carried; 0: all at once
}

// connect begins a handshake. after is what the server does after it; nil: nothing.
func connect(t testing.TB, client *Client, name string, protocols []string, config *tls.Config, after func(s *tls.Conn) error) *pair {
	t.Helper()
	p := &pair{t: t, events: make(chan struct{}, 1), over: make(chan error, 1)}
	notify := func() {
		select {
		case p.events <- struct{}{}:
		default:
		}
	}
	p.wire.notify, p.wire.changed.L = notify, &p.wire.mutex
	p.server = tls.Server(&p.wire, config)
	p.client = client.Start(name, protocols, notify)
	go func() {
		err := p.server.Handshake()
		if err == nil && after != nil {
			err = after(p.server)
		}
		p.over <- err
		notify()
	}()
	return p
}

// carry carries bytes until the handshake is over for both.
func (p *pair) carry() (client, server error) {
	p.t.Helper()
	isOver := false
	late := time.After(20 * time.Second)
	for {
		done, err := p.client.Done()
		p.toServer(p.client.TakeOutput(nil))
		fromServer := p.fromServer()
		if !done {
			p.pieces(fromServer, func(piece []byte) { p.client.Feed(piece) })
		} else if err == nil {
			p.wire.mutex.Lock() // it was too early
			p.wire.output = append(fromServer, p.wire.output...)
			p.wire.mutex.Unlock()
		}
		if done && isOver {
			return err, server
		}
		select {
		case server = <-p.over:
			isOver = true
			if server != nil {
				p.client.Feed(p.fromServer()) // its alert
				p.client.Feed(nil)
			}
		case <-p.events:
		case <-late:
			p.t.Fatal("the handshake hangs")
		}
		if done && err != nil {
			p.wire.feed(nil)
		}
	}
}

func (p *pair) pieces(data []byte, give func(piece []byte)) {
	for len(data) != 0 {
		n := len(data)
		if p.size != 0 {
			n = min(n, p.size)
		}
		give(data[:n])
		data = data[n:]
	}
}

func (p *pair) toServer(data []byte) {
	p.pieces(data, func(piece []byte) { p.wire.feed(piece) })
}

func (p *pair) fromServer() []byte {
	p.wire.mutex.Lock()
	defer p.wire.mutex.Unlock()
	out := p.wire.output
	p.wire.output = nil
	return out
}

// open completes a handshake that must succeed.
func (p *pair) open() {
	p.t.Helper()
	if client, server := p.carry(); client != nil || server != nil {
		p.t.Fatalf("handshake: client %v, server %v", client, server)
	}
	p.client.Open(func(out []byte) { p.sent = append(p.sent, out...) })
	p.wire.notify = func() {}
}

// read reads what the client can; data are received before, in pieces.
func (p *pair) read(data []byte) (text string, err error) {
	p.t.Helper()
	buffer := make([]byte, ReadMax)
	drain := func() {
		for err == nil || err == ErrNoData {
			var n int
			if n, err = p.client.Read(buffer); err != nil {
				return
			}
			text += string(buffer[:n])
		}
	}
	drain()
	p.pieces(data, func(piece []byte) {
		copied := bytes.Clone(piece)
		p.client.Receive(copied)
		drain()
		clear(copied) // it was valid for the call only
	})
	return text, err
}

var versions = []struct {
	name string
	max  uint16
}{{"1.3", tls.VersionTLS13}, {"1.2", tls.VersionTLS12}}

// TestSplits has what a server sends after the handshake come cut at every offset, and byte by byte: session
// tickets, records, close_notify.
func TestSplits(t *testing.T) {
	a := tlstest.NewAuthority(t, "test authority")
	client := newClient(t, a)
	for _, version := range versions {
		config := &tls.Config{Certificates: []tls.Certificate{a.Sign(nil)}, MaxVersion: version.max}
		long := strings.Repeat("x", 20<<10) // more than a record
		one := func(how string, size, cut int) (total int) {
			p := connect(t, client, "origin.example", nil, config, nil)
			p.size = size
			p.open()
			for _, text := range []string{"hello", long, "bye"} {
				if _, err := p.server.Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.server.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			data := p.fromServer()
			var got string
			var err error
			if cut != 0 {
				got, _ = p.read(data[:cut])
				data = data[cut:]
			}
			rest, err := p.read(data)
			if got+rest != "hello"+long+"bye" || err != io.EOF {
				t.Fatalf("TLS %s, %s: %d bytes, %v", version.name, how, len(got+rest), err)
			}
			return len(data)
		}
		total := one("whole", 0, 0)
		one("byte by byte", 1, 0)
		for cut := 1; cut < total; cut++ {
			if cut < 300 || cut > total-100 || cut%1009 == 0 {
				one(fmt.Sprintf("cut at %d", cut), 0, cut)
			}
		}
	}
}

// TestWrite: what the client sends arrives, and its end is known as one.
func TestWrite(t *testing.T) {
	a := tlstest.NewAuthority(t, "test authority")
	for _, version := range versions {
		p := connect(t, newClient(t, a), "[192.0.2.80]", nil, &tls.Config{Certificates: []tls.Certificate{a.Sign(nil)}, MaxVersion: version.max}, nil)
		p.open()
		want := strings.Repeat("0123456789", 10<<10)
		if err := errors.Join(p.client.Write([]byte(want)), p.client.End()); err != nil {
			t.Fatal(err)
		}
		if p.client.Write([]byte("x")) == nil {
			t.Error("a write after the end")
		}
		p.toServer(p.sent)
		p.wire.feed(nil)
		if got, err := io.ReadAll(p.server); string(got) != want || err != nil {
			t.Errorf("TLS %s: %d bytes, %v", version.name, len(got), err)
		}
	}
}

func TestTruncated(t *testing.T) {
	a := tlstest.NewAuthority(t, "test authority")
	for _, version := range versions {
		for _, cut := range []int{0, 1, 7} { // bytes of the last record that are missing
			p := connect(t, newClient(t, a), "origin.example", nil, &tls.Config{Certificates: []tls.Certificate{a.Sign(nil)}, MaxVersion: version.max}, nil)
			p.open()
			_, _ = p.server.Write([]byte("one"))
			_, _ = p.server.Write([]byte("two"))
			data := p.fromServer()
			got, err := p.read(data[:len(data)-cut])
			if want := "onetwo"[:6-3*min(cut, 1)]; got != want || err != ErrNoData {
				t.Errorf("TLS %s: got %q, %v", version.name, got, err)
			}
			p.client.Receive(nil)
			if got, err := p.read(nil); got != "" || err != ErrTruncated {
				t.Errorf("TLS %s, %d bytes cut: got %q, %v", version.name, cut, got, err)
			}
		}
	}
}

// TestMalformed: a record that was changed on its way ends the connection, with an alert.
func TestMalformed(t *testing.T) {
	a := tlstest.NewAuthority(t, "test authority")
	p := connect(t, newClient(t, a), "origin.example", nil, &tls.Config{Certificates: []tls.Certificate{a.Sign(nil)}}, nil)
	p.open()
	_, _ = p.server.Write([]byte("hello"))
	data := p.fromServer()
	data[len(data)-1] ^= 1
	got, err := p.read(data)
	if got != "" || err == nil || Describe(err, "origin.example") != "local error: tls: bad record MAC" || len(p.sent) == 0 {
		t.Errorf("got %q, %v, %d bytes of alert", got, err, len(p.sent))
	}
}

func TestProtocols(t *testing.T) {
	a := tlstest.NewAuthority(t, "test authority")
	for _, test := range []struct {
		server []string
		want   string
	}{{[]string{"h2", "http/1.1"}, "h2"}, {[]string{"http/1.1"}, "http/1.1"}, {nil, ""}} {
		config := &tls.Config{Certificates: []tls.Certificate{a.Sign(nil)}, NextProtos: test.server}
		p := connect(t, newClient(t, a), "origin.example", []string{"h2", "http/1.1"}, config, nil)
		p.open()
		if got := p.client.Protocol(); got != test.want {
			t.Errorf("agreed on %q, want %q", got, test.want)
		}
	}
}

// TestResumption: a second connection to a server resumes the session of the first, but not that of another
// app.
func TestResumption(t *testing.T) {
	a := tlstest.NewAuthority(t, "test authority")
	for _, version := range versions {
		config := &tls.Config{Certificates: []tls.Certificate{a.Sign(nil)}, MaxVersion: version.max}
		client := newClient(t, a)
		for i, c := range []*Client{client, client, newClient(t, a)} {
			p := connect(t, c, "origin.example", nil, config, nil)
			p.open()
			_, _ = p.server.Write([]byte("x")) // after the ticket
			if _, err := p.read(p.fromServer()); err != ErrNoData {
				t.Fatal(err)
			}
			if got := p.client.IsResumed(); got != (i == 1) {
				t.Errorf("TLS %s, connection %d: resumed %v", version.name, i, got)
			}
		}
	}
}

func TestFaults(t *testing.T) {
	a := tlstest.NewAuthority(t, "test authority")
	other := tlstest.NewAuthority(t, "other authority")
	expiry := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	future := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	certificate := func(a *tlstest.Authority, change func(c *x509.Certificate)) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{a.Sign(change)}}
	}
	for _, test := range []struct {
		name   string
		config *tls.Config
		want   string
	}{
		{"origin.example", certificate(a, nil), ""},
		{"192.0.2.80", certificate(a, nil), ""},
		{"192.0.2.81", certificate(a, nil), "the certificate is for origin.example, 192.0.2.80, not for 192.0.2.81"},
		{"sub.origin.example", certificate(a, nil), "the certificate is for origin.example, 192.0.2.80, not for sub.origin.example"},
		{"x", certificate(a, func(c *x509.Certificate) {
			c.DNSNames, c.IPAddresses = []string{"a", "b", "c", "d", "e"}, nil
		}), "the certificate is for a, b, c, d and 1 more, not for x"},
		{"x", certificate(a, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }), "the certificate is for no name, not for x"},
		{"origin.example", certificate(a, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = expiry.Add(-time.Hour), expiry
		}), "the certificate expired on 2024-02-03T04:05:06Z"},
		{"origin.example", certificate(a, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = future, future.Add(time.Hour) }),
			"the certificate is not valid before " + future.Format(time.RFC3339)},
		{"origin.example", certificate(other, nil), "the certificate is signed by an unknown authority (other authority)"},
		{"origin.example", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, Certificates: []tls.Certificate{a.Sign(nil)}},
			"the server refused the connection: protocol version not supported"},
		{"origin.example", &tls.Config{NextProtos: []string{"x"}, Certificates: []tls.Certificate{a.Sign(nil)}},
			"the server refused the connection: no application protocol"},
		{"origin.example", &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{a.Sign(nil)}},
			"the server refused the connection: handshake failure"},
	} {
		p := connect(t, newClient(t, a), test.name, []string{"http/1.1"}, test.config, nil)
		got := ""
		if err, _ := p.carry(); err != nil {
			got = Describe(err, test.name)
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// TestNoTLS: servers that speak something else, or nothing.
func TestNoTLS(t *testing.T) {
	for _, test := range []struct{ answer, want string }{
		{"HTTP/1.1 400 Bad Request\r\n\r\n", "the server does not speak TLS"},
		{"", "the server closed the connection during the handshake"},
		{"\x16\x03\x03", "the server closed the connection during the handshake"},
	} {
		over := make(chan struct{}, 16)
		c := NewClient(nil).Start("origin.example", nil, func() { over <- struct{}{} })
		if test.answer != "" {
			c.Feed([]byte(test.answer))
		}
		c.Feed(nil)
		for done := false; !done; done, _ = c.Done() {
			<-over
		}
		if _, err := c.Done(); err == nil || Describe(err, "origin.example") != test.want {
			t.Errorf("%q: %v", test.answer, err)
		}
	}
}

// TestAbort: a handshake that is given up leaves no goroutine, and one that gets too much is to be.
func TestAbort(t *testing.T) {
	before := runtime.NumGoroutine()
	ended := make(chan struct{}, 1000)
	for range 100 {
		c := NewClient(nil).Start("origin.example", nil, func() { ended <- struct{}{} })
		<-ended // its hello
		if c.Feed(make([]byte, inputMax+1)) {
			t.Fatal("any amount is taken")
		}
		c.Abort()
		<-ended
		if done, err := c.Done(); !done || err == nil {
			t.Fatalf("%v, %v", done, err)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestRoots(t *testing.T) {
	for _, text := range []string{"", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := Roots([]byte(text)); err == nil {
			t.Errorf("%q is taken for certificates", text)
		}
	}
}

// A sealer makes records of TLS 1.3 as a server does, which crypto/tls cannot be asked to: such
// that change the keys.
type sealer struct {
	t        testing.TB
	secret   []byte
	sequence uint64
}

func (s *sealer) expand(label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 "+label)))
	info = append(append(info, "tls13 "+label...), 0)
	key, err := hkdf.Expand(sha256.New, s.secret, string(info), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

func (s *sealer) seal(kind byte, content []byte) []byte {
	block, err := aes.NewCipher(s.expand("key", 16))
	if err != nil {
		s.t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		s.t.Fatal(err)
	}
	nonce := s.expand("iv", 12)
	number := binary.BigEndian.AppendUint64(nil, s.sequence)
	for i := range number {
		nonce[4+i] ^= number[i]
	}
	s.sequence++
	plain := append(bytes.Clone(content), kind)
	header := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(plain)+aead.Overhead()))
	return aead.Seal(header, nonce, plain, header)
}

// update changes the keys.
func (s *sealer) update() { s.secret, s.sequence = s.expand("traffic upd", 32), 0 }

// TestKeyUpdate: the server changes its keys, and has the client change its own, in a message that comes
// in several records, each cut at every offset.
func TestKeyUpdate(t *testing.T) {
	a := tlstest.NewAuthority(t, "test authority")
	var log bytes.Buffer
	config := &tls.Config{
		Certificates: []tls.Certificate{a.Sign(nil)}, SessionTicketsDisabled: true, KeyLogWriter: &log, MinVersion: tls.VersionTLS13,
	}
	for _, size := range []int{0, 1, 7} {
		log.Reset()
		p := connect(t, newClient(t, a), "origin.example", nil, config, nil)
		p.open()
		if p.server.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			t.Skip("another cipher suite was chosen")
		}
		_, line, _ := strings.Cut(log.String(), "SERVER_TRAFFIC_SECRET_0 ")
		secret, err := hex.DecodeString(strings.Fields(line)[1])
		if err != nil {
			t.Fatal(err)
		}
		s := &sealer{t: t, secret: secret}
		data := s.seal(23, []byte("before "))
		data = append(data, s.seal(22, []byte{24, 0, 0})...) // key_update, of one byte:
		data = append(data, s.seal(22, []byte{1, 1})...)     // update_requested
		s.update()
		data = append(data, s.seal(23, []byte("after"))...)
		p.size = size
		if got, err := p.read(data); got != "before after" || err != ErrNoData {
			t.Fatalf("in pieces of %d: got %q, %v", size, got, err)
		}
		if err := p.client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		p.toServer(p.sent)
		got := make([]byte, 5)
		if _, err := io.ReadFull(p.server, got); string(got) != "hello" || err != nil {
			t.Errorf("the server got %q, %v", got, err)
		}
	}
}

// TestAllocations: neither a read nor a write makes garbage, but for what crypto/tls needs to read.
func TestAllocations(t *testing.T) {
	a := tlstest.NewAuthority(t, "test authority")
	p := connect(t, newClient(t, a), "origin.example", nil, &tls.Config{Certificates: []tls.Certificate{a.Sign(nil)}}, nil)
	p.open()
	p.client.Open(func([]byte) {})
	text := make([]byte, 4<<10)
	if n := testing.AllocsPerRun(100, func() { _ = p.client.Write(text) }); n > 0 {
		t.Errorf("%v allocations for a write", n)
	}
	var records [][]byte
	for range 102 {
		_, _ = p.server.Write(text)
		records = append(records, p.fromServer())
	}
	buffer := make([]byte, ReadMax)
	next := 0
	if n := testing.AllocsPerRun(100, func() {
		p.client.Receive(records[next])
		next++
		for {
			if _, err := p.client.Read(buffer); err == ErrNoData {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}); n > 4 {
		t.Errorf("%v allocations for a read", n)
	}
}
