package loop

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"nano/isolates"
	"nano/uring/fakering"
)

// A passer is an isolate that passes requests for /pipe on to an origin, and the responses back, whose bytes
// the loop moves by itself.
type passer struct {
	origin string // URL without path
	flags  uint16 // of its answers
	number int32  // of the handle that was opened last
}

func (p *passer) handle(w *fakeWorker, r *fakeRequest) {
	p.number++
	open := isolates.Record{Kind: isolates.KindOpen, What: isolates.WhatFetch, Handle: p.number, Exchange: r.id, Pending: true,
		Target: []byte(r.method + " " + p.origin + r.target)}
	switch {
	case r.streams:
		open.Source = isolates.BodyHandle(r.id)
	case r.hasBody:
		open.Flags, open.Body = isolates.OpenHasBody, []byte(string(r.body))
	}
	w.record(open)
	w.live[uint32(p.number)] = &fakeRequest{id: r.id}
}

func (p *passer) onNews(w *fakeWorker, news *fakeNews) {
	r := w.live[uint32(news.handle)]
	if r == nil {
		return
	}
	delete(w.live, uint32(news.handle))
	respond := isolates.Record{Kind: isolates.KindRespond, ID: r.id, Status: uint16(news.number), Head: plainHead, Body: []byte(news.text)}
	switch {
	case news.what == "end":
		respond.Status, respond.Body = 502, []byte(news.text)
	case news.streams:
		respond.Streaming, respond.Source, respond.Flags = true, news.handle, p.flags
		if p.flags&isolates.RespondRaw != 0 {
			respond.Head = []byte("content-encoding: gzip\r\n")
		}
	}
	w.record(respond)
}

// proxies lets the isolate pass requests on to the test's origin.
func (f *fetcher) proxies(flags uint16) {
	p := &passer{origin: originURL, flags: flags}
	f.worker.handle, f.worker.onNews = p.handle, p.onNews
}

// bodyOf is what follows the head of a message.
func bodyOf(message string) string {
	_, body, _ := strings.Cut(message, "\r\n\r\n")
	return body
}

// TestFetchUploads: a body that JavaScript writes piece by piece.
func TestFetchUploads(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	write := func(text string) {
		f.do(isolates.Record{Kind: isolates.KindWrite, Handle: f.number, Body: []byte(text)})
		f.settle()
	}
	finish := func(flags uint16) {
		f.do(isolates.Record{Kind: isolates.KindFinish, Handle: f.number, Flags: flags})
		f.settle()
	}
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	follows := func(r *isolates.Record) { r.Flags = isolates.OpenBodyFollows }
	fixed := func(n int64) func(r *isolates.Record) {
		return func(r *isolates.Record) { r.Flags, r.Number = isolates.OpenBodyFollows|isolates.OpenFixedLength, n }
	}

	r := f.fetch("POST "+originURL+"/", follows)
	write("hello")
	write(" world")
	finish(0)
	got := string(f.origin().Take())
	if !strings.Contains(got, "transfer-encoding: chunked\r\n") || bodyOf(got) != "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n" || r.written != 2 {
		t.Errorf("got %q, %d written", got, r.written)
	}
	f.answer(ok)
	if r.body != "ok" || f.origin().Closed() {
		t.Errorf("got %q: %s", r.body, r.faultText)
	}

	r = f.fetch("POST "+originURL+"/", fixed(5))
	write("hel")
	write("lo")
	finish(0)
	if got = string(f.origin().Take()); !strings.Contains(got, "content-length: 5\r\n") || bodyOf(got) != "hello" {
		t.Errorf("got %q", got)
	}
	f.answer(ok)
	if r.body != "ok" || r.written != 2 {
		t.Errorf("got %q, %d written: %s", r.body, r.written, r.faultText)
	}
	f.checkAtRest()

	for _, test := range []struct {
		name  string
		run   func()
		fault string
	}{
		{"too short", func() { write("hel"); finish(0) }, "the body is shorter than was announced"},
		{"too long", func() { write("hello!") }, "the body is longer than was announced"},
		{"fails", func() { write("hel"); finish(isolates.FinishFailed) }, "the stream of the body failed"},
	} {
		r = f.fetch("POST "+originURL+"/", fixed(5))
		test.run()
		if !r.ended || !strings.Contains(r.faultText, test.fault) || !f.origin().Closed() {
			t.Errorf("%s: ended %v, %q, closed %v", test.name, r.ended, r.faultText, f.origin().Closed())
		}
		f.checkAtRest()
	}

	// The origin answers before it has all, and keeps reading or not.
	r = f.fetch("POST "+originURL+"/", follows)
	write("hello")
	f.answer("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
	if r.body != "no" || !f.origin().Closed() {
		t.Errorf("got %q: %s", r.body, r.faultText)
	}
	f.checkAtRest()

	// Both directions at once.
	r = f.fetch("POST "+originURL+"/", follows)
	f.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	write("hello")
	f.answer("3\r\ndef\r\n")
	finish(0)
	f.answer("0\r\n\r\n")
	if r.body != "abcdef" || !r.ended || f.origin().Closed() || !strings.HasSuffix(string(f.origin().Take()), "5\r\nhello\r\n0\r\n\r\n") {
		t.Errorf("got %q, ended %v: %s", r.body, r.ended, r.faultText)
	}
	// A body that ends while the connection is being made.
	f.run(10 * time.Second)
	r = f.open("POST "+originURL+"/", follows)
	f.do(isolates.Record{Kind: isolates.KindFinish, Handle: f.number})
	f.settle()
	if got = string(f.origin().Take()); bodyOf(got) != "0\r\n\r\n" {
		t.Errorf("got %q", got)
	}
	f.answer(ok)
	if r.body != "ok" {
		t.Errorf("got %q: %s", r.body, r.faultText)
	}
	f.checkAtRest()
}

// TestFetchUploadBackPressure: an origin that does not read holds up who writes the body.
func TestFetchUploadBackPressure(t *testing.T) {
	f := newFetcher(t, fakering.Config{}, nil)
	r := f.fetch("POST "+originURL+"/", func(r *isolates.Record) { r.Flags = isolates.OpenBodyFollows })
	f.origin().SetWindow(0)
	sent := 0
	for f.settle(); r.written == sent && sent < 100; f.settle() {
		block, body := f.blocks.make([]byte(randomText(20_000)))
		f.do(isolates.Record{Kind: isolates.KindWrite, Handle: f.number, Body: body, Block: block})
		sent++
	}
	if sent < 3 || sent > 8 {
		t.Errorf("%d pieces of 20,000 bytes were taken", sent)
	}
	f.origin().SetWindow(-1)
	f.settle()
	if r.written != sent {
		t.Errorf("%d written of %d", r.written, sent)
	}
	f.do(isolates.Record{Kind: isolates.KindFinish, Handle: f.number})
	f.settle()
	if got := string(f.origin().Take()); strings.Count(got, "4e20\r\n") != sent || !strings.HasSuffix(got, "0\r\n\r\n") {
		t.Errorf("%d bytes came", len(got))
	}
	f.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	f.checkAtRest()
}

// TestFetchProxy: requests and responses pass through the loop, of any size, coded or not, without
// JavaScript and with back-pressure from end to end.
func TestFetchProxy(t *testing.T) {
	large := randomText(3 << 20)
	compressed := coded(t, "gzip", large)
	for _, test := range []struct {
		name         string
		flags        uint16
		request      string // its body
		answer, want string
	}{
		{"small", 0, "hello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld", "world"},
		{"large", 0, large, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(large), large), large},
		{"decoded", 0, "", codedResponse("gzip", compressed), large},
		{"raw", isolates.RespondRaw, "", codedResponse("gzip", compressed), compressed},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFetcher(t, fakering.Config{}, nil)
			f.proxies(test.flags)
			client := f.ring.Dial(f.listener)
			client.SetWindow(50_000)
			client.WriteString(fmt.Sprintf("POST /pipe HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(test.request), test.request))
			f.settle()
			f.origin().SetWindow(-1)
			f.run(50 * time.Millisecond)
			if got := bodyOf(string(f.origin().Take())); got != test.request {
				t.Fatalf("the origin got %d bytes of %d", len(got), len(test.request))
			}
			f.origin().WriteString(test.answer)
			f.run(50 * time.Millisecond)
			got := string(client.Take())
			if len(test.want) > 1<<20 && len(got) > 60_000 {
				t.Errorf("the client took %d bytes", len(got))
			}
			client.SetWindow(-1)
			f.run(200 * time.Millisecond)
			got += string(client.Take())
			body := bodyOf(got)
			if strings.Contains(got, "transfer-encoding: chunked") {
				body = dechunked(body)
			}
			if body != test.want {
				t.Errorf("the client got %d bytes, want %d: %.200q", len(body), len(test.want), got)
			}
			client.Close()
			f.settle()
			f.checkAtRest()
		})
	}
}

// dechunked removes the chunked coding of a body, which is whole.
func dechunked(body string) string {
	var out strings.Builder
	for {
		var n int
		size, rest, _ := strings.Cut(body, "\r\n")
		if _, err := fmt.Sscanf(size, "%x", &n); err != nil || n == 0 || len(rest) < n+2 {
			return out.String()
		}
		out.WriteString(rest[:n])
		body = rest[n+2:]
	}
}

// TestFetchProxyBreaks: whoever leaves, the other side notices, and nothing is left.
func TestFetchProxyBreaks(t *testing.T) {
	for _, test := range []struct {
		name  string
		leave func(f *fetcher, client *fakering.Peer)
	}{
		{"client", func(f *fetcher, client *fakering.Peer) { client.Reset() }},
		{"origin", func(f *fetcher, client *fakering.Peer) { f.origin().Close() }},
		{"origin resets", func(f *fetcher, client *fakering.Peer) { f.origin().Reset() }},
		{"isolate", func(f *fetcher, client *fakering.Peer) {
			f.worker.fail = isolates.ErrMemoryLimit
			f.loop.wantTurn(f.loop.apps[0])
		}},
	} {
		for _, encoding := range []string{"", "Content-Encoding: gzip\r\n"} {
			f := newFetcher(t, fakering.Config{}, nil)
			f.proxies(0)
			client := f.ring.Dial(f.listener)
			client.WriteString("GET /pipe HTTP/1.1\r\nHost: a\r\n\r\n")
			f.settle()
			part := coded(t, "gzip", randomText(100_000))[:40_000]
			f.answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n" + encoding + "\r\n" + part)
			if got := client.Take(); len(got) < 1000 {
				t.Fatalf("%s, %q: the client got %d bytes: %q", test.name, encoding, len(got), got)
			}
			test.leave(f, client)
			f.settle()
			if !client.Ended() || !f.origin().Broken() && !f.origin().Closed() {
				t.Errorf("%s: client ended %v, origin closed %v", test.name, client.Ended(), f.origin().Closed())
			}
			f.run(2 * time.Second)
			f.checkAtRest()
		}
	}
}

// TestFetchSimulation runs fetches of every kind against origins on a kernel that does everything that it
// may. Each must end, with the right body or with a fault, and nothing may be left.
func TestFetchSimulation(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { simulateFetches(t, seed) })
	}
}

func simulateFetches(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 2))
	defer expectBulkOften(seed)()
	faults := fakering.Harsh()
	faults.Reset = 0.002
	isClean := seed%3 == 0
	if isClean {
		faults.Reset, faults.AcceptError, faults.ConnectError = 0, 0, 0
	}
	f := newFetcher(t, fakering.Config{Buffers: 8, BufferSize: 64, Seed: seed, Faults: faults}, func(o *Options) { o.Wall = time.Hour })
	f.window = 1 + random.IntN(5000)
	seen := map[*fakering.Peer]string{}
	answers := 0
	serve := func() {
		for _, peer := range f.peers {
			if peer.Broken() || peer.Closed() {
				continue
			}
			seen[peer] += string(peer.Take())
			for {
				head, rest, ok := strings.Cut(seen[peer], "\r\n\r\n")
				if !ok {
					break
				}
				if strings.Contains(head, "chunked") {
					body, after, ok := strings.Cut("\r\n"+rest, "\r\n0\r\n\r\n")
					if !ok {
						break
					}
					_, rest = body, after
				}
				seen[peer] = rest
				var n, how int
				fmt.Sscanf(head[strings.IndexByte(head, ' '):], " /%d/%d", &n, &how)
				respondAs(f, peer, n, how)
				answers++
			}
		}
	}
	type wanted struct {
		result *result
		n      int
	}
	var all []wanted
	for range 3 + random.IntN(10) {
		n, how := random.IntN(3000), random.IntN(6)
		if isClean {
			how = random.IntN(4)
		}
		method, change := "GET", func(*isolates.Record) {}
		isStream := random.IntN(4) == 0
		if isStream {
			method, change = "POST", func(r *isolates.Record) { r.Flags = isolates.OpenBodyFollows }
		}
		r := f.open(fmt.Sprintf("%s %s/%d/%d", method, originURL, n, how), change)
		handle := f.number
		all = append(all, wanted{r, n})
		if isStream {
			f.do(isolates.Record{Kind: isolates.KindWrite, Handle: handle, Body: []byte(randomText(random.IntN(300)))})
			f.run(time.Duration(random.IntN(2000)) * time.Microsecond)
			f.do(isolates.Record{Kind: isolates.KindFinish, Handle: handle})
		}
		if random.IntN(8) == 0 {
			f.ring.At(time.Duration(random.IntN(20_000))*time.Microsecond, func() {
				if !r.ended {
					f.do(isolates.Record{Kind: isolates.KindCancel, Handle: handle, Flags: isolates.CancelAll})
					r.ended, r.fault = true, isolates.FaultAborted
				}
			})
		}
		f.run(time.Duration(random.IntN(3000)) * time.Microsecond)
		serve()
	}
	for range 400 {
		f.run(500 * time.Microsecond)
		serve()
	}
	f.run(3 * time.Minute)
	for i, each := range all {
		r := each.result
		switch {
		case !r.ended:
			t.Errorf("fetch %d has not ended: %d answers", i, r.answers)
		case r.fault == 0 && r.body != randomText(each.n):
			t.Errorf("fetch %d: %d bytes, want %d", i, len(r.body), each.n)
		case isClean && r.fault != 0 && r.fault != isolates.FaultAborted:
			t.Errorf("fetch %d: %s", i, r.faultText)
		}
	}
	f.checkAtRest()
}

// respondAs has an origin answer with n bytes, in one of six ways; the last two break.
func respondAs(f *fetcher, peer *fakering.Peer, n, how int) {
	body := randomText(n)
	switch how {
	case 0:
		peer.WriteString(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, body))
	case 1:
		peer.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for len(body) > 0 {
			piece := body[:min(len(body), 700)]
			body = body[len(piece):]
			peer.WriteString(fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece))
		}
		peer.WriteString("0\r\n\r\n")
	case 2:
		peer.WriteString("HTTP/1.1 200 OK\r\n\r\n" + body)
		peer.CloseWrite()
	case 3:
		peer.WriteString(codedResponse("gzip", coded(f.t, "gzip", body)))
	case 4:
		peer.WriteString(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n+10, body))
		peer.CloseWrite()
	case 5:
		peer.Reset()
	}
}

// FuzzFetchResponse has an origin send any bytes and close. The fetch must end, nothing may be left, and a
// body that is taken for whole must be what net/http reads.
func FuzzFetchResponse(f *testing.F) {
	for i, row := range fetchRows {
		f.Add([]byte(row.answer), uint16(i*7))
	}
	f.Add([]byte(codedResponse("gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xcaH\xcd\xc9\xc9\x07\x04\x00\x00\xff\xff\x86\xa6\x106\x05\x00\x00\x00")), uint16(80))
	f.Add([]byte(redirectTo(302, "/x")+okResponse), uint16(20))
	f.Fuzz(func(t *testing.T, answer []byte, cut uint16) {
		w := newFetcher(t, fakering.Config{Buffers: 8, BufferSize: 512}, nil)
		w.window = 1 + int(cut)%5000
		r := w.fetch("GET "+originURL+"/", nil)
		peer := w.origin()
		first := min(int(cut), len(answer))
		peer.Write(answer[:first])
		w.run(100 * time.Microsecond)
		peer.Write(answer[first:])
		peer.CloseWrite()
		w.run(3 * time.Minute) // a redirect leads to an origin that says nothing
		if !r.ended {
			t.Fatalf("not ended: %+v", r)
		}
		w.checkAtRest()
		if r.fault != 0 || r.news.encoded {
			return
		}
		reader := bufio.NewReader(bytes.NewReader(answer))
		for {
			theirs, err := http.ReadResponse(reader, &http.Request{Method: "GET"})
			if err != nil {
				t.Fatalf("net/http: %v", err)
			}
			if theirs.StatusCode/100 == 1 && theirs.StatusCode != 101 {
				continue
			}
			body, err := io.ReadAll(theirs.Body)
			if !hasNullBody(uint16(theirs.StatusCode)) && (err != nil || string(body) != r.body || theirs.StatusCode != r.news.number) {
				t.Fatalf("net/http: status %d, %q, %v; got status %d, %q", theirs.StatusCode, body, err, r.news.number, r.body)
			}
			return
		}
	})
}

// TestFetchProxySimulation has clients of every speed go through an app to origins of every kind, on a kernel
// that does everything that it may. A client gets its answer whole, or an error, or sees that it broke.
func TestFetchProxySimulation(t *testing.T) {
	for seed := range uint64(80) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { simulateProxy(t, seed) })
	}
}

// expectBulkOften has bodies of any length received in large pieces, for every other seed.
func expectBulkOften(seed uint64) (restore func()) {
	before, ofOrigins := bulkFrom, originBulkFrom
	if seed%2 == 0 {
		bulkFrom, originBulkFrom = int64(seed), int64(seed)
	}
	return func() { bulkFrom, originBulkFrom = before, ofOrigins }
}

// proxyClient is a client of the simulation.
type proxyClient struct {
	peer *fakering.Peer
	n    int
	got  string
}

// take takes what has come, and lets more come.
func (c *proxyClient) take(random *rand.Rand) {
	c.got += string(c.peer.Take())
	c.peer.SetWindow(1 + random.IntN(4000))
}

// check checks what a client has got in the end. isClean: nothing may have broken.
func (c *proxyClient) check(t *testing.T, i int, isClean bool) {
	head, body, hasHead := strings.Cut(c.got, "\r\n\r\n")
	status, _, _ := strings.Cut(strings.TrimPrefix(head, "HTTP/1.1 "), " ")
	isChunked := strings.Contains(head, "transfer-encoding: chunked")
	isWhole := hasHead && (!isChunked || strings.HasSuffix(body, "0\r\n\r\n"))
	if isChunked {
		body = dechunked(body)
	}
	var length int
	if _, rest, ok := strings.Cut(head, "content-length: "); ok {
		fmt.Sscan(rest, &length)
		isWhole = len(body) == length
	}
	switch {
	case status == "200" && isWhole && body != randomText(c.n):
		t.Errorf("client %d: %d bytes taken for whole, want %d", i, len(body), c.n)
	case isClean && (status != "200" || !isWhole):
		t.Errorf("client %d: status %q, %d bytes of %d: %.300q", i, status, len(body), c.n, c.got)
	case !isWhole && !c.peer.Ended():
		t.Errorf("client %d: an answer that is not whole, on a connection that is open", i)
	}
}

func simulateProxy(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 3))
	defer expectBulkOften(seed)()
	faults := fakering.Harsh()
	faults.Reset = 0.001
	isClean := seed%3 == 0
	if isClean {
		faults.Reset, faults.AcceptError, faults.ConnectError = 0, 0, 0
	}
	f := newFetcher(t, fakering.Config{Buffers: 8, BufferSize: 256, Seed: seed, Faults: faults}, func(o *Options) {
		o.Wall, o.SendTimeout, o.BodyTimeout, o.HeaderTimeout = time.Hour, time.Hour, time.Hour, time.Hour
	})
	f.proxies(0)
	seen := map[*fakering.Peer]string{}
	serve := func() {
		for _, peer := range f.peers {
			if peer.Broken() || peer.Closed() {
				continue
			}
			seen[peer] += string(peer.Take())
			head, rest, ok := strings.Cut(seen[peer], "\r\n\r\n")
			var n, how, length int
			if _, size, has := strings.Cut(head, "content-length: "); has {
				fmt.Sscan(size, &length)
			}
			if !ok || len(rest) < length {
				continue
			}
			if rest[:length] != randomText(length) {
				t.Errorf("an origin got another body of %d bytes", length)
			}
			seen[peer] = rest[length:]
			fmt.Sscanf(head[strings.IndexByte(head, ' '):], " /pipe/%d/%d", &n, &how)
			respondAs(f, peer, n, how)
		}
	}
	var clients []*proxyClient
	for range 1 + random.IntN(6) {
		c := &proxyClient{peer: f.ring.Dial(f.listener), n: random.IntN(5000)}
		clients = append(clients, c)
		c.peer.SetWindow(100)
		how := random.IntN(6)
		if isClean {
			how = random.IntN(4)
		}
		body := randomText(random.IntN(3) * random.IntN(100_000))
		c.peer.WriteString(fmt.Sprintf("POST /pipe/%d/%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", c.n, how, len(body), body))
		if !isClean && random.IntN(5) == 0 {
			f.ring.At(time.Duration(random.IntN(50_000))*time.Microsecond, c.peer.Reset)
		}
		f.run(time.Duration(random.IntN(2000)) * time.Microsecond)
		serve()
	}
	for range 600 {
		f.run(500 * time.Microsecond)
		serve()
		for _, c := range clients {
			c.take(random)
		}
	}
	for _, c := range clients {
		c.peer.SetWindow(-1)
	}
	f.run(3 * time.Minute)
	for i, c := range clients {
		c.take(random)
		c.check(t, i, isClean)
		if !c.peer.Ended() {
			c.peer.Close()
		}
	}
	f.run(5 * time.Second)
	f.checkAtRest()
}
