package admin

import (
	"bufio"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

var discard = slog.New(slog.DiscardHandler)

// lines reads a stream of events.
func (d *desk) follow(path string) (*bufio.Reader, *http.Response) {
	d.Helper()
	response, err := http.Get(d.url + path)
	if err != nil {
		d.Fatal(err)
	}
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		d.Fatalf("%s: %d %s", path, response.StatusCode, response.Header.Get("Content-Type"))
	}
	return bufio.NewReader(response.Body), response
}

func TestIsName(t *testing.T) {
	for name, want := range map[string]bool{"a": true, "a-1": true, "": false, "A": false, "a.b": false, "..": false, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false} {
		if isName(name) != want {
			t.Errorf("%q", name)
		}
	}
}
