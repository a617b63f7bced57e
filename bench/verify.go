package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// verify sends every exchange of a scenario over one connection (a new one after each answer that
// closes it) and returns an error that names the first difference.
func verify(address string, exchanges []exchange) error {
	var connection net.Conn
	var reader *bufio.Reader
	for _, exchange := range exchanges {
		if connection == nil {
			var err error
			if connection, err = net.Dial("tcp", address); err != nil {
				return err
			}
			defer connection.Close()
			reader = bufio.NewReader(connection)
		}
		closed, err := exchange.check(connection, reader, address)
		if err != nil {
			return fmt.Errorf("%s %s: %w", exchange.method(), exchange.Path, err)
		}
		if closed {
			connection = nil
		}
	}
	return nil
}

func (e exchange) method() string {
	if e.Method == "" {
		return "GET"
	}
	return e.Method
}

// bytes returns the request as it is sent.
func (e exchange) bytes(address string) []byte {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\n", e.method(), e.Path, address)
	for _, line := range e.Headers {
		text.WriteString(line + "\r\n")
	}
	if e.Body != "" {
		fmt.Fprintf(&text, "Content-Length: %d\r\n", len(e.Body))
	}
	text.WriteString("\r\n" + e.Body)
	return []byte(text.String())
}

// check makes one exchange. closed tells that the connection serves no other.
func (e exchange) check(connection net.Conn, reader *bufio.Reader, address string) (closed bool, err error) {
	if err := connection.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		return true, err
	}
	if _, err := connection.Write(e.bytes(address)); err != nil {
		return true, err
	}
	response, err := http.ReadResponse(reader, &http.Request{Method: e.method()})
	if err != nil {
		return true, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return true, err
	}
	if err := e.Want.compare(response, string(body)); err != nil {
		return true, err
	}
	if e.Closes {
		if _, err := reader.ReadByte(); err != io.EOF {
			return true, fmt.Errorf("the connection stayed open (%v)", err)
		}
	}
	return response.Close || e.Closes, nil
}

// compare returns an error that names the first difference between a response and the answer.
func (a answer) compare(response *http.Response, body string) error {
	if response.StatusCode != a.Status {
		return fmt.Errorf("status %d, want %d", response.StatusCode, a.Status)
	}
	for name, want := range a.Headers {
		if got := response.Header.Get(name); plainValue(got) != plainValue(want) {
			return fmt.Errorf("header %s: %q, want %q", name, got, want)
		}
	}
	if body != a.Body {
		return fmt.Errorf("body of %d bytes %.80q, want %d bytes %.80q", len(body), body, len(a.Body), a.Body)
	}
	return nil
}

// plainValue removes what two spellings of a header value may differ in: case, spaces, and a
// charset that says what is the default anyway.
func plainValue(value string) string {
	return strings.TrimSuffix(strings.ToLower(strings.ReplaceAll(value, " ", "")), ";charset=utf-8")
}
