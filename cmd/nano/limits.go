package main

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// filesReserved is how many descriptors a node needs beside its connections: rings, event
// descriptors, listeners, files being read, the standard streams.
const filesReserved = 64

// raiseFileLimit raises this process's limit of open files to what it may have, and gives it.
func raiseFileLimit() (files uint64, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	return limit.Cur, nil
}

// checkFileLimit tells what is wrong with a limit of files for a configured number of connections,
// 0 if there is none, and the cure; or nothing.
func checkFileLimit(files uint64, connectionsMax int) (what, cure string) {
	needed := uint64(connectionsMax) + filesReserved
	if files >= needed {
		return "", ""
	}
	return fmt.Sprintf("the limit of open files is %d, and %d connections need %d", files, connectionsMax, needed),
		fmt.Sprintf("raise it, for example with LimitNOFILE=%d in the systemd unit or `ulimit -n %d`", needed, needed)
}

// lockedMemoryLimit is this process's limit of locked memory, for people to read.
func lockedMemoryLimit() string {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return "unknown"
	}
	if limit.Cur == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(limit.Cur>>10, 10) + "KiB"
}
