package main

import (
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"nano/isolates"
	"nano/uring"
)

// version is NANO's own, in the manner of semver.org.
const version = "0.1.0"

// revision is the commit that was built, set by the Makefile.
var revision string

func runVersion(s *streams, args []string) error {
	flags := newFlags(s, "version", "Prints the versions that a report of a fault should name.")
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	own := version
	if revision != "" {
		own += " (" + revision + ")"
	}
	fmt.Fprintf(s.out, "NANO     %s\n", own)
	fmt.Fprintf(s.out, "V8       %s\n", isolates.V8Version())
	fmt.Fprintf(s.out, "Go       %s %s/%s\n", strings.TrimPrefix(runtime.Version(), "go"), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(s.out, "kernel   %s\n", kernelRelease())
	if err := uring.Probe(); err != nil {
		fmt.Fprintf(s.out, "io_uring not available: %v\n", err)
		return nil
	}
	fmt.Fprintf(s.out, "io_uring %s\n", strings.Join(uring.Features(), ", "))
	return nil
}

// kernelRelease is what `uname -sr` prints.
func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
}
