package apps

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of a builder process: what an app's top level does there must harm nobody else.
const (
	builderDataMax   = 2 << 30          // bytes of private writable memory
	builderCPUMax    = 10 * time.Second // for one build
	builderOOMAdjust = "1000"           // the kernel ends a builder before anybody else
	builderNice      = 10               // priority: loops go first
)

// ServeBuilder is the life of a builder process: it answers requests from stdin on stdout until
// stdin ends. handle is called for one after the other.
//
// The process is limited first. What V8 or an app writes to standard output goes to standard error
// instead.
func ServeBuilder(handle func(*Request) Reply) error {
	replies, err := takeStdout()
	if err != nil {
		return err
	}
	defer replies.Close()
	if err := limitBuilder(); err != nil {
		return err
	}
	return serveBuilder(os.Stdin, replies, func(r *Request) Reply {
		limitCPU()
		return handle(r)
	})
}

func serveBuilder(requests io.Reader, replies io.Writer, handle func(*Request) Reply) error {
	for {
		var request Request
		bundle, err := readFrame(requests, &request)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("request: %w", err)
		}
		request.Bundle = bundle
		reply := handle(&request)
		reply.ID = request.ID
		if err := writeFrame(replies, reply, reply.Image); err != nil {
			return fmt.Errorf("reply: %w", err)
		}
	}
}

// takeStdout gives a file for the replies, and leaves standard error in the place of standard
// output.
func takeStdout() (*os.File, error) {
	descriptor, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("standard output: %w", err)
	}
	if err := unix.Dup3(2, 1, 0); err != nil {
		return nil, fmt.Errorf("standard output: %w", err)
	}
	return os.NewFile(uintptr(descriptor), "replies"), nil
}

func limitBuilder() error {
	for _, limit := range []struct {
		resource int
		most     uint64
	}{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_FSIZE, 0}, // pipes are not files
		{unix.RLIMIT_DATA, builderDataMax},
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(limit.resource, &now); err != nil {
			return fmt.Errorf("limit: %w", err)
		}
		most := min(limit.most, now.Max)
		if err := unix.Setrlimit(limit.resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("limit: %w", err)
		}
	}
	// Advice, both: a builder that is like any other process works as well. The group is all its
	// threads, since the node has made a group for it.
	if unix.Getpgrp() == os.Getpid() {
		_ = unix.Setpriority(unix.PRIO_PGRP, 0, builderNice)
	}
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(builderOOMAdjust), 0)
	// The limit of CPU time sends a signal that Go would ignore.
	exceeded := make(chan os.Signal, 1)
	signal.Notify(exceeded, unix.SIGXCPU)
	go func() {
		<-exceeded
		fmt.Fprintf(os.Stderr, "more than %s of CPU time for one app\n", builderCPUMax)
		os.Exit(1)
	}()
	return nil
}

// limitCPU lets the process use builderCPUMax from now on.
func limitCPU() {
	var usage unix.Rusage
	var limit unix.Rlimit
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil || unix.Getrlimit(unix.RLIMIT_CPU, &limit) != nil {
		return // the time that the node waits is a limit too
	}
	used := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	limit.Cur = min(uint64((used+builderCPUMax)/time.Second)+1, limit.Max)
	_ = unix.Setrlimit(unix.RLIMIT_CPU, &limit)
}

// fatalLine finds in what a process wrote to standard error why it died: V8's own words, if there
// are any, or else the first line.
func fatalLine(stderr string) string {
	var first string
	var fatal []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if words := strings.TrimSpace(strings.Trim(line, "#")); strings.HasPrefix(line, "# ") && words != "" {
			fatal = append(fatal, words)
		}
		if first == "" {
			first = line
		}
	}
	if len(fatal) == 0 {
		return first
	}
	return strings.Join(fatal[:min(len(fatal), 2)], ": ")
}
