package main

import (
	"bytes"
	"strings"
	"testing"

	"nano/config"
	"nano/isolates"
	"nano/logs"
	"nano/loop"
)

// TestLogOfLoops: what loops log comes out in the form that is configured.
func TestLogOfLoops(t *testing.T) {
	for form, want := range map[string]string{
		config.LogText: "ERROR hello: text version=v request=000000000000beef source=a.ts:1:2\n",
		config.LogJSON: `"level":"ERROR","msg":"text","app":"hello","version":"v","request":"000000000000beef","source":"a.ts:1:2"}` + "\n",
	} {
		var out bytes.Buffer
		log, err := openLog(form, &out)
		if err != nil {
			t.Fatal(err)
		}
		nodeLogger{log, nil}.App(&loop.LogEntry{App: "hello", Version: "v", Request: 0xbeef, Level: isolates.LevelUncaught,
			Text: []byte("text"), Source: []byte("a.ts:1:2")})
		log.Close(patience)
		if !strings.HasSuffix(out.String(), want) {
			t.Errorf("%s: %q, want %q", form, out.String(), want)
		}
	}
	if logs.JournalEnabled() {
		t.Skip("there is a journal here")
	}
	if _, err := openLog(config.LogJournal, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "no systemd journal") {
		t.Errorf("without a journal: %v", err)
	}
}
