package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nano/logs"
)

var discard = slog.New(slog.DiscardHandler)

func (d *desk) log1(app, text string) {
	d.lines.App(&logs.Entry{App: app, Text: []byte(text), Request: 0xabc, Source: []byte("src/a.ts:1:2"), Rate: 1 << 20})
}

// follow reads events until as many have come as are wanted, or until the stream ends if want is 0.
func (d *desk) follow(path string, want int, before func()) (lines []logs.Line) {
	d.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, "GET", d.url+path, nil)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		d.Fatalf("%s: %d %s", path, response.StatusCode, response.Header.Get("Content-Type"))
	}
	before()
	scanner := bufio.NewScanner(response.Body)
	for (want == 0 || len(lines) < want) && scanner.Scan() {
		if text, isData := strings.CutPrefix(scanner.Text(), "data: "); isData {
			var line logs.Line
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				d.Fatal(err)
			}
			lines = append(lines, line)
		}
	}
	if err := scanner.Err(); err != nil {
		d.Fatal(err)
	}
	return lines
}

func TestLogStream(t *testing.T) {
	d := newDesk(t, "")
	d.log1("hello", "first\nand its second line")
	d.log1("other", "of another")
	// What there was, what comes, and only of that app.
	lines := d.follow("/v1/apps/hello/logs", 2, func() { d.log1("other", "another again"); d.log1("hello", "second") })
	if len(lines) != 2 || lines[0].Text != "first\nand its second line" || lines[0].Request != 0xabc || lines[0].Source != "src/a.ts:1:2" || lines[1].Text != "second" {
		t.Errorf("%+v", lines)
	}
	if lines := d.follow("/v1/logs?follow=0", 0, func() {}); len(lines) != 4 {
		t.Errorf("%+v", lines)
	}
	if status, answer, _ := d.ask("GET", "/v1/logs?follow=yes", ""); status != 400 {
		t.Errorf("%d %s", status, answer)
	}
}

// TestSlowReader: a client that does not read its stream holds nobody up, and what waits for it is bounded: it
// is told that lines are missing.
func TestSlowReader(t *testing.T) {
	d := newDesk(t, "")
	connection, err := net.Dial("tcp", d.server.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.(*net.TCPConn).SetReadBuffer(256 << 10)
	_ = connection.SetDeadline(time.Now().Add(patience))
	io.WriteString(connection, "GET /v1/apps/hello/logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
	reader := bufio.NewReader(connection)
	if line, err := reader.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Fatalf("%q %v", line, err)
	}
	text := strings.Repeat("x", 2000)
	control := d.lines.Hub().Subscribe("hello") // knows when all have come through
	defer control.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range 200 {
		for range 50 {
			d.log1("hello", text)
		}
		for range 50 {
			if line, err := control.Next(ctx); err != nil || line.Dropped != 0 {
				t.Fatalf("%v, %d dropped", err, line.Dropped)
			}
		}
	}
	if status, _, _ := d.ask("GET", "/v1/apps", ""); status != 200 {
		t.Errorf("%d", status)
	}
	read, isTold := 0, false
	for !isTold {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatalf("after %d bytes: %v", read, err)
		}
		read += len(line)
		isTold = strings.Contains(line, `"dropped":`)
	}
	if read > 15<<20 {
		t.Errorf("%d bytes had waited", read)
	}
}

// TestCloseEndsStreams: the server ends though somebody follows the log.
func TestCloseEndsStreams(t *testing.T) {
	d := newDesk(t, "")
	closed := make(chan error, 1)
	lines := d.follow("/v1/logs", 0, func() {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			closed <- d.server.Close(ctx)
		}()
	})
	if err := <-closed; err != nil || len(lines) != 0 {
		t.Errorf("%v, %+v", err, lines)
	}
}

// TestSlowUpload: a client that always sends a little more in time is cut off at the end of the request's time.
func TestSlowUpload(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	body := &upload{ctx: ctx, from: strings.NewReader("one byte, and another one"), controller: http.NewResponseController(httptest.NewRecorder())}
	piece := make([]byte, 1)
	if n, err := body.Read(piece); n != 1 || err != nil || body.failed != nil {
		t.Fatalf("%d, %v", n, err)
	}
	cancel()
	if n, err := body.Read(piece); n != 0 || err == nil || body.failed == nil {
		t.Errorf("%d, %v", n, err)
	}
}
