package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every Linux architecture.
const tick = 10 * time.Millisecond

// usage is what a process tree had consumed at one moment.
type usage struct {
	// User and System are sums over whole processes, threads that ended included. The kernel
	// samples the split between them at its timer interrupt and reports it in steps of a tick.
	User, System time.Duration
	// Runtime is the exact time on a core of each thread alive.
	Runtime map[int]time.Duration
}

// cost is what a process tree consumed between two usages.
type cost struct {
	User, System time.Duration // sampled, see usage
	Total        time.Duration // exact, unless a thread ended in between: then User + System
}

// since returns what was consumed after earlier.
func (u usage) since(earlier usage) cost {
	c := cost{User: u.User - earlier.User, System: u.System - earlier.System}
	for thread, runtime := range u.Runtime {
		c.Total += runtime - earlier.Runtime[thread]
	}
	for thread := range earlier.Runtime {
		if _, alive := u.Runtime[thread]; !alive {
			c.Total = max(c.Total, c.User+c.System)
		}
	}
	return c
}

// memory is the resident memory of a process tree in bytes.
type memory struct {
	RSS int64 `json:"rss_bytes"`
	PSS int64 `json:"pss_bytes"` // pages shared with other processes counted by their share
	// Anonymous is what of RSS is not pages of files, such as the program's own, which the kernel could read again.
	Anonymous int64 `json:"anonymous_bytes,omitempty"`
}

// processTree returns root and every process under it.
func processTree(root int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // ended since the listing
		}
		stat, err := parseStat(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		children[stat.parent] = append(children[stat.parent], stat.id)
	}
	tree := []int{root}
	for index := 0; index < len(tree); index++ {
		tree = append(tree, children[tree[index]]...)
	}
	return tree, nil
}

// readUsage adds up the consumption of a process tree.
func readUsage(root int) (usage, error) {
	total := usage{Runtime: map[int]time.Duration{}}
	tree, err := processTree(root)
	if err != nil {
		return total, err
	}
	for _, process := range tree {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
		if err != nil {
			return total, err
		}
		stat, err := parseStat(content)
		if err != nil {
			return total, err
		}
		total.User += stat.user
		total.System += stat.system
		err = eachThread(process, "schedstat", func(thread int, content []byte) error {
			runtime, err := parseSchedstat(content)
			total.Runtime[thread] = runtime
			return err
		})
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// readMemory adds up the resident memory of a process tree.
func readMemory(root int) (memory, error) {
	var total memory
	tree, err := processTree(root)
	if err != nil {
		return total, err
	}
	for _, process := range tree {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", process))
		if err != nil {
			return total, err
		}
		one, err := parseSmapsRollup(content)
		if err != nil {
			return total, err
		}
		total.RSS += one.RSS
		total.PSS += one.PSS
		total.Anonymous += one.Anonymous
	}
	return total, nil
}

// restLimit bounds each of the two things that rest waits for.
const restLimit = 20 * time.Second

// rest waits until a server has nothing more to do, as far as the machine lets it, and until its helpers have
// ended: NANO's builder of snapshots is a process that stays for some seconds, and whose pages are the server's,
// counted twice.
func (s *server) rest(ctx context.Context) error {
	if err := s.settle(ctx, restLimit); err != nil && !errors.Is(err, errBusy) {
		return err
	}
	for start := time.Now(); time.Since(start) < restLimit; {
		tree, err := processTree(s.Process)
		if err != nil || len(tree) == 1 {
			return err
		}
		if err := wait(ctx, settleStep); err != nil {
			return err
		}
	}
	return nil
}

// resetPeak makes the peak of each process of a tree its present resident memory (proc_pid_clear_refs(5)).
func resetPeak(root int) error {
	tree, err := processTree(root)
	if err != nil {
		return err
	}
	for _, process := range tree {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", process), []byte("5"), 0); err != nil {
			return err
		}
	}
	return nil
}

// readPeak adds up the peaks of the resident memory of a process tree: exact for one process, at most too
// much for several.
func readPeak(root int) (int64, error) {
	tree, err := processTree(root)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, process := range tree {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process))
		if err != nil {
			return total, err
		}
		peak, err := parsePeak(content)
		if err != nil {
			return total, err
		}
		total += peak
	}
	return total, nil
}

// parsePeak reads the peak of the resident memory from /proc/PID/status ("VmHWM:   1234 kB").
func parsePeak(content []byte) (int64, error) {
	fields := strings.Fields(valueOf(string(content), "VmHWM", ":"))
	if len(fields) != 2 || fields[1] != "kB" {
		return 0, errors.New("no VmHWM line")
	}
	kilobytes, err := strconv.ParseInt(fields[0], 10, 64)
	return kilobytes * 1024, err
}

// readSwitches returns how often each thread of a process tree has left a core, by choice or not.
// The difference between two readings is the number of times that the thread was woken.
func readSwitches(root int) (map[string]int64, error) {
	switches := map[string]int64{}
	tree, err := processTree(root)
	if err != nil {
		return nil, err
	}
	for _, process := range tree {
		err := eachThread(process, "status", func(thread int, content []byte) error {
			name, count, err := parseSwitches(content)
			switches[fmt.Sprintf("%s/%d", name, thread)] = count
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return switches, nil
}

// eachThread reads a file of each thread of a process; threads that end meanwhile are left out.
func eachThread(process int, file string, do func(thread int, content []byte) error) error {
	folder := fmt.Sprintf("/proc/%d/task", process)
	threads, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range threads {
		thread, err := strconv.Atoi(entry.Name())
		if err != nil {
			return err
		}
		content, err := os.ReadFile(filepath.Join(folder, entry.Name(), file))
		if errors.Is(err, fs.ErrNotExist) || isNoProcess(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := do(thread, content); err != nil {
			return fmt.Errorf("%s/%s/%s: %w", folder, entry.Name(), file, err)
		}
	}
	return nil
}

// processStat is what the benchmark needs of /proc/PID/stat.
type processStat struct {
	id, parent   int
	user, system time.Duration
}

// parseStat reads a /proc/PID/stat line (proc_pid_stat(5)). The command's name stands in
// parentheses and may hold spaces and parentheses itself, so fields count from the last one.
func parseStat(content []byte) (processStat, error) {
	var stat processStat
	open, end := bytes.IndexByte(content, '('), bytes.LastIndexByte(content, ')')
	if open < 0 || end < open {
		return stat, fmt.Errorf("no command name in %q", content)
	}
	fields := strings.Fields(string(content[end+1:]))
	if len(fields) < 13 {
		return stat, fmt.Errorf("only %d fields after the command name in %q", len(fields), content)
	}
	var numbers [4]int
	for index, text := range []string{strings.TrimSpace(string(content[:open])), fields[1], fields[11], fields[12]} {
		number, err := strconv.Atoi(text)
		if err != nil {
			return stat, err
		}
		numbers[index] = number
	}
	stat.id, stat.parent = numbers[0], numbers[1]
	stat.user, stat.system = time.Duration(numbers[2])*tick, time.Duration(numbers[3])*tick
	return stat, nil
}

// parseSchedstat reads the time on a core from /proc/PID/task/TID/schedstat: the first of three
// numbers, in nanoseconds.
func parseSchedstat(content []byte) (time.Duration, error) {
	fields := strings.Fields(string(content))
	if len(fields) != 3 {
		return 0, fmt.Errorf("want 3 numbers, got %q", content)
	}
	nanoseconds, err := strconv.ParseInt(fields[0], 10, 64)
	return time.Duration(nanoseconds), err
}

// parseSmapsRollup reads the Rss, Pss and Anonymous lines ("Rss:   1234 kB") of /proc/PID/smaps_rollup.
func parseSmapsRollup(content []byte) (memory, error) {
	var result memory
	lines := map[string]*int64{"Rss:": &result.RSS, "Pss:": &result.PSS, "Anonymous:": &result.Anonymous}
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || lines[fields[0]] == nil {
			continue
		}
		kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return result, err
		}
		*lines[fields[0]] = kilobytes * 1024
		delete(lines, fields[0])
	}
	if len(lines) != 0 {
		return result, fmt.Errorf("%d of the Rss, Pss and Anonymous lines are missing", len(lines))
	}
	return result, nil
}

// parseSwitches reads a thread's name and its number of context switches from
// /proc/PID/task/TID/status.
func parseSwitches(content []byte) (name string, count int64, err error) {
	found := 0
	for line := range strings.Lines(string(content)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Name":
			name = value
		case "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches":
			number, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return name, 0, err
			}
			count += number
			found++
		}
	}
	if found != 2 {
		return name, 0, fmt.Errorf("want two lines of context switches, found %d", found)
	}
	return name, count, nil
}
