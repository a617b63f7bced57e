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

// What an app logs and leaves rejected at its top level.
const loudApp = `console.log("loading", 1); console.warn("careful"); Promise.reject(new Error("lost"));
	console.log("x".repeat(100_000));
	export default { fetch() { console.log("serving"); return new Response(); } }`

// logOf is the log that an isolate writes at its first request, cut to what tells lines apart.
func logOf(t *testing.T, isolate *Isolate) string {
	t.Helper()
	request(t, isolate, 1, get)
	var lines []string
	for _, record := range turn(t, isolate) {
		if record.Kind == KindLog {
			lines = append(lines, fmt.Sprintf("%d %.19s", record.Level, record.Body))
		}
	}
	return strings.Join(lines, ", ")
}

// TestTopLevelLogs: the first turn of an isolate that was started from source brings out what loading
// it has logged.
func TestTopLevelLogs(t *testing.T) {
	const want = "1 loading 1, 2 careful, 1 xxxxxxxxxxxxxxxxxxx, 1 serving, 4 unhandled rejection"
	for _, perRequest := range []bool{false, true} {
		lockThread(t)
		app, err := resolve(t, AppOptions{PerRequest: perRequest}, "app.js", loudApp)
		if err != nil {
			t.Fatal(err)
		}
		isolate, err := startOn(app, -1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(isolate.Dispose)
		if got := logOf(t, isolate); got != want {
			t.Errorf("per request %v: %q", perRequest, got)
		}
		again := "1 serving"
		if perRequest { // its top level runs for each
			again = want
		}
		if got := logOf(t, isolate); got != again {
			t.Errorf("per request %v, the second: %q", perRequest, got)
		}
	}
}

// TestImagesRecordTopLevelLogs: an image tells what its top level has logged, and no isolate of it
// does so again, however it is started.
func TestImagesRecordTopLevelLogs(t *testing.T) {
	for how, source := range map[string]string{
		startSnapshot: loudApp,
		startCache:    loudApp + "; const format = new Intl.NumberFormat(); export { format }",
	} {
		for _, perRequest := range []bool{false, true} {
			app, built := imageApp(t, AppOptions{PerRequest: perRequest}, source)
			var lines []string
			bytes := 0
			for _, line := range app.image.Load().Log() {
				lines = append(lines, fmt.Sprintf("%d %.19s", line.Level, line.Text))
				bytes += len(line.Text)
			}
			if got := strings.Join(lines, ", "); got != "1 loading 1, 2 careful, 1 xxxxxxxxxxxxxxxxxxx" {
				t.Errorf("%s: the image has %q", how, got)
			}
			if bytes > startLogMax+100 || len(built.Log) != len(lines) {
				t.Errorf("%s: %d bytes, %d lines", how, bytes, len(built.Log))
			}
			isolate := startImage(t, app, how)
			for range 2 {
				if got := logOf(t, isolate); got != "1 serving" {
					t.Errorf("%s, per request %v: %q", how, perRequest, got)
				}
			}
		}
	}
	if _, built := imageApp(t, AppOptions{}, `Promise.reject(new Error("lost")); export default { fetch() { } }`); len(built.Log) != 1 ||
		built.Log[0].Level != LevelUncaught || !strings.Contains(built.Log[0].Text, "app.js:1") {
		t.Errorf("a rejection: %+v", built.Log)
	}
}
