package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	line := "4711 (a (strange) name) S 42 4711 4711 0 -1 4194560 120 0 3 0 250 75 9 9 20 0 11 0 1234 1000 200 18446744073709551615\n"
	got, err := parseStat([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	want := processStat{id: 4711, parent: 42, user: 2500 * time.Millisecond, system: 750 * time.Millisecond}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "12 no name S 1", "12 (cut) S 1 2 3", "x (name) S 42 1 1 0 -1 1 1 0 3 0 250 75 9"} {
		if stat, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: no error, got %+v", bad, stat)
		}
	}
}

func TestParseSchedstat(t *testing.T) {
	got, err := parseSchedstat([]byte("123456789 42 7\n"))
	if err != nil || got != 123456789 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, bad := range []string{"", "1 2", "one 2 3"} {
		if _, err := parseSchedstat([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestParseSmapsRollup(t *testing.T) {
	text := "00400000-7ffc Rss ---p 00000000 00:00 0 [rollup]\nRss:               43212 kB\nPss:               41011 kB\nPss_Dirty:          100 kB\nShared_Clean:       2000 kB\nAnonymous:         12000 kB\n"
	got, err := parseSmapsRollup([]byte(text))
	if want := (memory{RSS: 43212 * 1024, PSS: 41011 * 1024, Anonymous: 12000 * 1024}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseSmapsRollup([]byte("Rss: 1 kB\nAnonymous: 1 kB\n")); err == nil {
		t.Error("no error without a Pss line")
	}
}

func TestParseSwitches(t *testing.T) {
	text := "Name:\tbusy one\nState:\tS (sleeping)\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t7\n"
	name, count, err := parseSwitches([]byte(text))
	if err != nil || name != "busy one" || count != 157 {
		t.Errorf("got %q %d %v", name, count, err)
	}
	if _, _, err := parseSwitches([]byte("Name:\tx\nvoluntary_ctxt_switches:\t1\n")); err == nil {
		t.Error("no error with one line of switches")
	}
}

func TestCostBetweenUsages(t *testing.T) {
	before := usage{User: 100, System: 200, Runtime: map[int]time.Duration{1: 150, 2: 150}}
	after := usage{User: 130, System: 260, Runtime: map[int]time.Duration{1: 200, 2: 180, 3: 5}}
	if got, want := after.since(before), (cost{User: 30, System: 60, Total: 85}); got != want {
		t.Errorf("a thread began: got %+v, want %+v", got, want)
	}
	delete(after.Runtime, 2)
	if got, want := after.since(before), (cost{User: 30, System: 60, Total: 90}); got != want {
		t.Errorf("a thread ended, so its exact time is lost: got %+v, want %+v", got, want)
	}
}

// TestReadsOwnProcess holds the parsers against the running kernel.
func TestReadsOwnProcess(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		child.Process.Kill()
		child.Wait()
	}()
	tree, err := processTree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if len(tree) != 2 || tree[1] != child.Process.Pid {
		t.Errorf("process tree %v, want %d and its child %d", tree, os.Getpid(), child.Process.Pid)
	}
	first, err := readUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// The kernel brings the figures of a running thread up to date at its next timer interrupt.
	deadline := time.Now().Add(10 * time.Second)
	for {
		second, err := readUsage(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if second.since(first).Total > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no time on a core from %+v to %+v", first, second)
		}
	}
	if resident, err := readMemory(os.Getpid()); err != nil || resident.RSS < 1<<20 || resident.PSS > resident.RSS {
		t.Errorf("memory %+v, %v", resident, err)
	}
	if switches, err := readSwitches(os.Getpid()); err != nil || len(switches) < 2 {
		t.Errorf("context switches %v, %v", switches, err)
	}
}
