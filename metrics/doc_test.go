package metrics

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table into docs/METRICS.md")

const (
	page       = "../docs/METRICS.md"
	tableBegin = "<!-- table: made by go test ./metrics -update -->\n"
	tableEnd   = "<!-- end of the table -->\n"
)

// TestPage keeps the table of docs/METRICS.md in step with the one of this package.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, hasBegin := strings.Cut(string(text), tableBegin)
	_, after, hasEnd := strings.Cut(rest, tableEnd)
	if !hasBegin || !hasEnd {
		t.Fatal("docs/METRICS.md has no marks around its table")
	}
	want := before + tableBegin + Table() + tableEnd + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatal("the table of docs/METRICS.md is old: go test ./metrics -update")
	}
	if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
