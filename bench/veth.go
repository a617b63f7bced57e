package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Over loopback the kernel does much of the server's work in the client's time, and the other way round: whichever runs
// when a segment arrives or room is made for the next works off both ends. With a veth pair each end has a core of its
// own for that, as two machines have.

// vethPair is a network of this machine, where clients run, and a namespace for the server.
type vethPair struct{ namespace string }

// The addresses of both ends, of a network for benchmarks (RFC 2544).
const (
	vethClient = "198.18.77.1"
	vethServer = "198.18.77.2"
)

// vethMissing says why there can be no veth pair here; "": there can.
func vethMissing() string {
	if os.Geteuid() != 0 {
		return "a veth pair takes root"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return "ip is missing: apt-get install iproute2"
	}
	return ""
}

// openVeth makes the network. What arrives at an end is worked off by its core (receive packet steering).
func openVeth(ctx context.Context, serverCore, clientCore string) (*vethPair, error) {
	name := fmt.Sprintf("nb%d", os.Getpid())
	v := &vethPair{namespace: name}
	ours, theirs := name+"c", name+"s"
	var steer []string
	for _, core := range []string{clientCore, serverCore} {
		mask, err := coreMask(core)
		if err != nil {
			return nil, err
		}
		steer = append(steer, "for queue in /sys/class/net/$0/queues/rx-*/rps_cpus; do echo "+mask+" >$queue || exit 1; done")
	}
	for index, command := range [][]string{
		strings.Fields("ip netns add " + name),
		strings.Fields("ip link add " + ours + " type veth peer name " + theirs + " netns " + name),
		strings.Fields("ip addr add " + vethClient + "/24 dev " + ours),
		strings.Fields("ip -n " + name + " addr add " + vethServer + "/24 dev " + theirs),
		strings.Fields("ip link set " + ours + " up"),
		strings.Fields("ip -n " + name + " link set lo up"),
		strings.Fields("ip -n " + name + " link set " + theirs + " up"),
		{"sh", "-c", steer[0], ours},
		v.inside([]string{"sh", "-c", steer[1], theirs}),
	} {
		output, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, bytes.TrimSpace(output))
			if index > 0 {
				err = errors.Join(err, v.close())
			}
			return nil, err
		}
	}
	return v, nil
}

// close removes the network. Nothing may run in it any more.
func (v *vethPair) close() error {
	output, err := exec.Command("ip", "netns", "del", v.namespace).CombinedOutput() // its device goes with it, and ours with that
	if err != nil {
		return fmt.Errorf("ip netns del %s: %w: %s", v.namespace, err, bytes.TrimSpace(output))
	}
	return nil
}

// inside is a command line that runs another one in the namespace.
func (v *vethPair) inside(arguments []string) []string {
	return append([]string{"ip", "netns", "exec", v.namespace}, arguments...)
}

// parseCores reads a list of cores as taskset takes it.
func parseCores(list string) (cores []int, err error) {
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		if err != nil {
			return nil, fmt.Errorf("cores %q: %w", list, err)
		}
		last, err := strconv.Atoi(to)
		if err != nil {
			return nil, fmt.Errorf("cores %q: %w", list, err)
		}
		for core := first; core <= last; core++ {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

// coreMask is a list of cores as the kernel takes it: hexadecimal, in words of 32 bits.
func coreMask(list string) (string, error) {
	cores, err := parseCores(list)
	if err != nil {
		return "", err
	}
	var words []uint32
	for _, core := range cores {
		for len(words) <= core/32 {
			words = append(words, 0)
		}
		words[core/32] |= 1 << (core % 32)
	}
	var text []string
	for index := len(words) - 1; index >= 0; index-- {
		text = append(text, fmt.Sprintf("%08x", words[index]))
	}
	return strings.Join(text, ","), nil
}

// readBusy is for how long cores have been busy since the machine was started, with whatever: processes, and what the
// kernel does in nobody's name. It needs a machine with nothing else to do.
func readBusy(list string) (time.Duration, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseBusy(content, list)
}

// parseBusy reads /proc/stat.
func parseBusy(content []byte, list string) (busy time.Duration, err error) {
	cores, err := parseCores(list)
	if err != nil {
		return 0, err
	}
	for _, core := range cores {
		_, line, found := bytes.Cut(content, fmt.Appendf(nil, "\ncpu%d ", core))
		if !found {
			return 0, fmt.Errorf("/proc/stat: no core %d", core)
		}
		line, _, _ = bytes.Cut(line, []byte{'\n'})
		// user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in user, too.
		for index, field := range bytes.Fields(line) {
			if index == 3 || index == 4 || index > 7 {
				continue
			}
			ticks, err := strconv.ParseInt(string(field), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/stat: %w", err)
			}
			busy += time.Duration(ticks) * tick
		}
	}
	return busy, nil
}
