package isolates

import (
	"fmt"
	"strings"
	"testing"
)

// TestConsoleOutput compares what console writes with what the app says it must have written.
func TestConsoleOutput(t *testing.T) {
	lockThread(t)
	isolate := startFile(t, "console_output.js")
	request(t, isolate, 7, get)
	records := turn(t, isolate)
	var got strings.Builder
	for _, record := range records {
		if record.Kind != KindLog {
			continue
		}
		if record.ID != 7 || !record.Pending {
			t.Errorf("a line of request %d, %v: %s", record.ID, record.Pending, record.Body)
		}
		fmt.Fprintf(&got, "[%d] %s\n", record.Level, record.Body)
	}
	gotLines := strings.Split(got.String(), "\n")
	wantLines := strings.Split(string(respondOf(t, records).Body), "\n")
	if len(wantLines) < 50 {
		t.Fatalf("only %d lines: %q", len(wantLines), wantLines)
	}
	for i := range max(len(gotLines), len(wantLines)) {
		var gotLine, wantLine string
		if i < len(gotLines) {
			gotLine = gotLines[i]
		}
		if i < len(wantLines) {
			wantLine = wantLines[i]
		}
		if gotLine != wantLine {
			t.Fatalf("line %d is\n%s\nwant\n%s", i+1, gotLine, wantLine)
		}
	}
}
