package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nano/isolates"
	"nano/loop"
)

func account(name string, requests uint64, cpu time.Duration) loop.AppStats {
	a := loop.AppStats{Name: name, CPU: cpu, Warm: 1, InHand: 2, Resident: 3 << 19}
	a.Requests, a.CPULimit, a.Uncaught = requests, 1, 2
	a.Starts[0] = loop.StartCounts{Count: 4, Total: 8 * time.Millisecond, Max: 5 * time.Millisecond}
	a.Heap.Spaces[2] = isolates.HeapSpace{Used: 100 << 10, Committed: 256 << 10}
	return a
}

func TestAccountTable(t *testing.T) {
	table := accountTable([]loop.AppStats{account("idle", 1, 0), account("busy", 1200, 90*time.Second), account("middle", 7, 1500*time.Microsecond)})
	lines := strings.Split(strings.TrimSpace(table), "\n")
	var names []string
	for _, line := range lines {
		fields := strings.Fields(line)
		names = append(names, fields[len(fields)-1])
	}
	if got := strings.Join(names, " "); got != "app busy middle idle total" {
		t.Errorf("rows %s:\n%s", got, table)
	}
	if got := strings.Join(strings.Fields(lines[1]), " "); got != "1200 3 1m30s 2 1 1.5M 100K 0 4 0 0 2ms 5ms 0 0 0 busy" {
		t.Errorf("a row: %s", got)
	}
	if got := strings.Join(strings.Fields(lines[4]), " "); got != "1208 9 1m30s 6 3 4.5M 300K 0 12 0 0 2ms 5ms 0 0 0 total" {
		t.Errorf("the sum: %s", got)
	}
	many := []loop.AppStats{{Name: "unused"}}
	for i := range 10_000 {
		many = append(many, account(fmt.Sprint("app-", i), 1, time.Duration(i)))
	}
	table = accountTable(many)
	if lines := strings.Count(table, "\n"); lines != accountRowsMax+2 || !strings.Contains(table, "total of 10001 apps") || !strings.Contains(table, "app-9999") {
		t.Errorf("%d lines:\n%s", lines, table)
	}
	table = accountTable(append(make([]loop.AppStats, 10_000), account("used", 1, 1)))
	if lines := strings.Count(table, "\n"); lines != 3 {
		t.Errorf("%d lines:\n%s", lines, table)
	}
}

func TestAccountRecords(t *testing.T) {
	var log bytes.Buffer
	logAccounts(slog.New(slog.NewJSONHandler(&log, nil)), []loop.AppStats{account("a", 5, time.Second), account("b", 6, time.Minute)})
	type record struct {
		Msg, App string
		Apps     int
		Requests int
		CPU      int64 `json:"cpu_ns"`
		Errors   map[string]int
		Starts   map[string]struct{ Count int }
		Heap     map[string]any
	}
	var records []record
	for decoder := json.NewDecoder(&log); decoder.More(); {
		var next record
		if err := decoder.Decode(&next); err != nil {
			t.Fatal(err)
		}
		records = append(records, next)
	}
	if len(records) != 3 || records[0].App != "b" || records[1].App != "a" || records[2].Msg != "accounts" || records[2].Apps != 2 {
		t.Fatalf("%+v", records)
	}
	if sum := records[2]; sum.Requests != 11 || sum.CPU != int64(61*time.Second) || sum.Errors["cpu_limit"] != 2 ||
		sum.Starts["snapshot"].Count != 8 || sum.Heap["old"] == nil || sum.Heap["new"] != nil {
		t.Errorf("the sum: %+v", sum)
	}
}

func TestShortFigures(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 900: "0", 83 * time.Microsecond: "83µs", 1234 * time.Microsecond: "1.2ms", 123456 * time.Microsecond: "123ms",
		15 * time.Second: "15s", 90 * time.Minute: "1h30m0s",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v: %s, want %s", int64(d), got, want)
		}
	}
	for size, want := range map[int64]string{-1: "0", 0: "0", 1: "1K", 1 << 20: "1.0M", 3 << 19: "1.5M", 5 << 30: "5120M"} {
		if got := shortSize(size); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}

// TestSIGUSR1 asks a running node, in both forms of its log.
func TestSIGUSR1(t *testing.T) {
	for _, form := range []string{"text", "json"} {
		folder := writeFiles(t, map[string]string{
			"good.js":   goodApp,
			"throws.js": "export default { fetch() { throw new Error('no'); } };",
			"nano.toml": "[server]\nlisten = [\"127.0.0.1:0\"]\nlog = \"" + form + "\"\n[[app]]\nname = \"good\"\nmain = \"good.js\"\n" +
				"[[app]]\nname = \"throws\"\nmain = \"throws.js\"\npath = \"/throws\"\n",
		})
		command := nanoCommand(t, "serve", "-c", filepath.Join(folder, "nano.toml"))
		addresses := 1
		if form == "json" {
			addresses = 0
		}
		p := startCommand(t, addresses, command)
		if form == "json" {
			var banner struct{ Addresses []string }
			if err := json.Unmarshal([]byte(p.waitForLog(`"msg":"serving"`)), &banner); err != nil {
				t.Fatal(err)
			}
			p.url = banner.Addresses[0]
		}
		for range 3 {
			p.expect("GET", "/", "", "", 200, "well")
		}
		if got := p.ask("GET", "/throws", "", ""); got.status != 500 {
			t.Errorf("%+v", got)
		}
		p.signal(syscall.SIGUSR1)
		if form == "json" {
			var record struct {
				Requests int
				Errors   map[string]int
			}
			if err := json.Unmarshal([]byte(p.waitForLog(`"msg":"accounts"`)), &record); err != nil || record.Requests != 4 || record.Errors["uncaught"] != 1 {
				t.Errorf("%+v, %v", record, err)
			}
		} else {
			p.waitForLog("INFO accounts of the apps")
			if fields := strings.Fields(p.waitForLog("  good")); fields[0] != "3" || fields[1] != "0" {
				t.Errorf("good: %v", fields)
			}
			if fields := strings.Fields(p.waitForLog("  total")); fields[0] != "4" || fields[1] != "1" {
				t.Errorf("total: %v", fields)
			}
		}
		p.signal(os.Interrupt.(syscall.Signal))
		if exit := p.waitForExit(); exit != 0 {
			t.Errorf("exit code %d", exit)
		}
	}
}
