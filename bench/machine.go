package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine describes what the numbers were measured on.
type machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Siblings  string `json:"server_core_siblings"` // hardware threads that share the server's core
	Virtual   bool   `json:"virtual"`
	Memory    string `json:"memory"`
	Kernel    string `json:"kernel"`
	System    string `json:"system"`
	Load      string `json:"load_average_at_start"`
}

// readMachine reads /proc and /sys; what is not there stays empty.
func readMachine(serverCore string) machine {
	information := readText("/proc/cpuinfo")
	m := machine{
		Processor: valueOf(information, "model name", ":"),
		Cores:     runtime.NumCPU(),
		Siblings:  readText("/sys/devices/system/cpu/cpu" + serverCore + "/topology/thread_siblings_list"),
		Virtual:   strings.Contains(valueOf(information, "flags", ":"), "hypervisor"),
		Memory:    valueOf(readText("/proc/meminfo"), "MemTotal", ":"),
		Kernel:    readText("/proc/sys/kernel/osrelease") + " " + runtime.GOARCH,
		System:    strings.Trim(valueOf(readText("/etc/os-release"), "PRETTY_NAME", "="), `"`),
	}
	if fields := strings.Fields(readText("/proc/loadavg")); len(fields) > 2 {
		m.Load = strings.Join(fields[:3], " ")
	}
	return m
}

func readText(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// valueOf returns the value of the first line that begins with key.
func valueOf(text, key, separator string) string {
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(line, separator)
		if found && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// allowedCores returns the numbers of the cores that this process may use.
func allowedCores() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var cores []int
	for core := range len(set) * 64 {
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

// checkTools looks for the programs that a load needs and says in one line what to install.
func checkTools() error {
	var missing []string
	for tool, packageName := range map[string]string{"wrk": "wrk", "taskset": "util-linux"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, packageName)
		}
	}
	if len(missing) > 0 {
		return errors.New("missing tools: apt-get install " + strings.Join(missing, " "))
	}
	return nil
}

// toolVersions names the versions of everything that took part.
func toolVersions(ctx context.Context, peers []peer) map[string]string {
	versions := map[string]string{"go": runtime.Version()}
	for _, p := range peers {
		versions[p.Name] = p.version(ctx)
	}
	// wrk prints its version with the usage and exits with 1.
	output, _ := exec.CommandContext(ctx, "wrk", "-v").CombinedOutput()
	first, _, _ := strings.Cut(string(output), "\n")
	versions["wrk"] = strings.TrimSpace(strings.TrimSuffix(first, " Copyright (C) 2012 Will Glozer"))
	return versions
}
