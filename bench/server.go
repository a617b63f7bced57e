package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	startTimeout = 2 * time.Minute        // for a server to answer its first request, with 10,000 apps
	stopTimeout  = 5 * time.Second        // for a server to end on SIGTERM
	startPoll    = 200 * time.Microsecond // between attempts to connect
)

// server is a running peer.
type server struct {
	Address string
	Process int
	// Launch is the time from just before the start of the process until the first byte of its
	// first answer.
	Launch time.Duration

	command *exec.Cmd
	output  *outputFile
	ended   chan struct{} // closed when the process has ended
}

// outputFile collects the output of a process. It has no name: the process writes to it by itself, since
// a pipe that this process has to empty, and to keep, would disturb what it measures.
type outputFile struct{ file *os.File }

func newOutputFile() (*outputFile, error) {
	file, err := os.CreateTemp("", "nano-bench-output-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &outputFile{file}, nil
}

// String is what has been written so far.
func (o *outputFile) String() string {
	info, err := o.file.Stat()
	if err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(io.NewSectionReader(o.file, 0, info.Size()))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// startServer starts a command line on the given cores and waits for its first answer, whatever
// its status: the answers are verified later.
func startServer(ctx context.Context, arguments []string, cores, address string) (*server, error) {
	output, err := newOutputFile()
	if err != nil {
		return nil, err
	}
	s := &server{Address: address, output: output, ended: make(chan struct{})}
	s.command = exec.Command("taskset", append([]string{"-c", cores}, arguments...)...)
	s.command.Stdout, s.command.Stderr = output.file, output.file
	s.command.Env = append(os.Environ(), "NO_COLOR=1", "NODE_ENV=production", "DENO_NO_UPDATE_CHECK=1", "DO_NOT_TRACK=1")
	// A group of its own: Ctrl-C reaches the benchmark alone, which then stops its servers.
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	start := time.Now()
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	s.Process = s.command.Process.Pid
	go func() {
		s.command.Wait() // how it ended is of no interest: a server that ends by itself is an error
		close(s.ended)
	}()
	for {
		err := firstByte(address)
		if err == nil {
			s.Launch = time.Since(start)
			return s, nil
		}
		select {
		case <-s.ended:
			return nil, fmt.Errorf("ended at start: %s", s.output.String())
		case <-ctx.Done():
			s.stop()
			return nil, ctx.Err()
		case <-time.After(startPoll):
		}
		if time.Since(start) > startTimeout {
			s.stop()
			return nil, fmt.Errorf("no answer within %s (%w): %s", startTimeout, err, s.output.String())
		}
	}
}

// firstByte makes one request and returns nil once the answer begins.
func firstByte(address string) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	if _, err := connection.Write(exchange{Path: "/"}.bytes(address)); err != nil {
		return err
	}
	_, err = bufio.NewReader(connection).ReadByte()
	return err
}

// stop ends the server with SIGTERM, or SIGKILL if that takes too long.
func (s *server) stop() {
	s.signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(stopTimeout):
		s.signal(syscall.SIGKILL)
		<-s.ended
	}
}

// signal reaches the server's whole process group; one that is gone needs no signal.
func (s *server) signal(signal syscall.Signal) {
	if err := syscall.Kill(-s.Process, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		progress("kill %d: %v", s.Process, err)
	}
}

// freePort returns a port of 127.0.0.1 that nothing listens on.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// launch starts a peer for an app, in a folder of its own that lives as long as the benchmark.
func (b *bench) launch(ctx context.Context, p peer, app string) (*server, error) {
	folder, err := os.MkdirTemp(b.temporary, p.Name+"-")
	if err != nil {
		return nil, err
	}
	return b.launchIn(ctx, p, app, folder)
}

// launchIn starts a peer for an app in a folder, pinned to the server's core.
func (b *bench) launchIn(ctx context.Context, p peer, app, folder string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	arguments, err := p.prepare(p, b.appPath(app), port, folder)
	if err != nil {
		return nil, err
	}
	return startServer(ctx, arguments, b.serverCore, fmt.Sprintf("127.0.0.1:%d", port))
}

// isNoProcess tells that a /proc file was opened but its thread ended before the read.
func isNoProcess(err error) bool { return errors.Is(err, syscall.ESRCH) }
