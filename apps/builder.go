// Package apps is the control plane of a node: it finds the modules of the configured apps, has their
// snapshots built, keeps them, and says from what an app is to be started.
package apps

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"nano/bundle"
	"nano/snapshot"
)

// buildTimeout is how long one app may take to build. It is for builders that hang: how much an app may
// compute is bounded by CPU time (builderCPUMax), since on a busy node a builder gets little of it.
const buildTimeout = 30 * time.Second

// Builder builds the images of apps in a child process, which V8 and the apps may end: V8 aborts on
// some values that it cannot put into a snapshot. A child serves for many builds; one that died is
// replaced at the next.
//
// All calls come from one goroutine, which is locked to its thread: the kernel ends the child when
// that thread ends, so that no builder outlives its node.
type Builder struct {
	// Command makes the command of a child, which calls ServeBuilder. Standard streams and
	// attributes are set here.
	Command func() *exec.Cmd
	// Timeout for one build; 0: buildTimeout.
	Timeout time.Duration

	child     *child
	lastID    uint64
	interrupt sync.Mutex // of child, between Build and Interrupt
	stopped   bool
}

// child is a running builder process.
type child struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     io.Reader
	stderr  beginning
}

// A DeathError says that a request ended its builder: by killing it, by taking too long, or by an
// answer that is none.
type DeathError struct{ What string }

// Error says how.
func (e *DeathError) Error() string { return e.What }

// errStart is wrapped by errors that are about the machine, not about an app.
var errStart = errors.New("the snapshot builder cannot be started")

// BuildImage has the image of an app built: one without a snapshot, with the reason, if its snapshot
// ends the builders. Errors are those of Build.
func (b *Builder) BuildImage(request Request) (Reply, error) {
	reply, err := b.Build(request)
	var death *DeathError
	if errors.As(err, &death) {
		request.Death = death.What
		reply, err = b.Build(request)
		reply.HasDied = !isOfTheApp(death.What)
	}
	return reply, err
}

// isOfTheApp tells whether what ended two builders will end every other, too: V8 has found what its snapshots
// cannot hold. A shortage of memory passes.
func isOfTheApp(death string) bool { return strings.Contains(death, "Check failed: ") }

// Build asks a child, a new one if there is none. A *DeathError: the app ends its builders (two of
// them, if it was not for the time, since one may have been killed by chance). Other errors are
// about the machine, and say nothing of the app.
func (b *Builder) Build(request Request) (Reply, error) {
	for attempt := 1; ; attempt++ {
		reply, err := b.ask(&request)
		var death *DeathError
		if err == nil || attempt == 2 || !errors.As(err, &death) || errors.Is(err, errTimeout) || b.isStopped() {
			return reply, err
		}
	}
}

// errTimeout is what a request ends with that took too long.
var errTimeout error = &DeathError{"building it takes too long"}

// ask sends one request to a child and waits for the reply.
func (b *Builder) ask(request *Request) (Reply, error) {
	if b.child == nil {
		started, err := b.start()
		if err == nil {
			err = b.setChild(started)
		}
		if err != nil {
			return Reply{}, fmt.Errorf("%w: %w", errStart, err)
		}
	}
	b.lastID++
	request.ID = b.lastID
	var timedOut atomic.Bool
	c := b.child
	timer := time.AfterFunc(b.timeout(), func() {
		timedOut.Store(true)
		c.command.Process.Kill()
	})
	var reply Reply
	err := writeFrame(c.in, request, request.Bundle)
	if err == nil {
		reply.Image, err = readFrame(c.out, &reply)
	}
	if timer.Stop(); err == nil && !timedOut.Load() {
		if err = reply.check(request); err == nil {
			return reply, nil
		}
	}
	how := c.end()
	_ = b.setChild(nil)
	switch {
	case timedOut.Load():
		return Reply{}, errTimeout
	case errors.Is(err, errFrame):
		how = "the snapshot builder gave a malformed reply"
	case c.command.ProcessState.ExitCode() == ExitUnusable:
		return Reply{}, fmt.Errorf("%w: %s", errStart, how)
	}
	return Reply{}, &DeathError{how}
}

// check tells whether a reply is one to the request: with an image or a bundle that is whole, or a problem.
func (r *Reply) check(request *Request) error {
	if r.ID != request.ID || (len(r.Image) == 0) != (r.Problem != "") {
		return errFrame
	}
	if r.Problem != "" {
		return nil
	}
	var err error
	if request.Entry != nil {
		_, err = bundle.DecodeResult(r.Image)
	} else {
		_, err = snapshot.Decode(r.Image)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	return nil
}

func (b *Builder) timeout() time.Duration {
	if b.Timeout == 0 {
		return buildTimeout
	}
	return b.Timeout
}

// start starts a child, in a process group of its own: what a terminal sends to the node's group
// (SIGINT) is for the node, which then ends its builder.
func (b *Builder) start() (*child, error) {
	c := &child{command: b.Command()}
	c.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.command.Stderr = &c.stderr
	c.command.WaitDelay = time.Second // for its standard error, should anything else hold it open
	var err error
	if c.in, err = c.command.StdinPipe(); err != nil {
		return nil, err
	}
	if c.out, err = c.command.StdoutPipe(); err != nil {
		return nil, err
	}
	return c, c.command.Start()
}

// Rest ends the child, if there is one, so that its memory goes. The next Build starts a new one.
func (b *Builder) Rest() {
	if b.child != nil {
		b.child.end()
		_ = b.setChild(nil)
	}
}

// errStopped is what ends a Build that was interrupted.
var errStopped = errors.New("interrupted")

// Interrupt ends the child and whatever Build is going on, for good. It may be called from any
// goroutine.
func (b *Builder) Interrupt() {
	b.interrupt.Lock()
	defer b.interrupt.Unlock()
	b.stopped = true
	if b.child != nil {
		_ = b.child.command.Process.Kill() // fails if it has ended by itself
	}
}

func (b *Builder) isStopped() bool {
	b.interrupt.Lock()
	defer b.interrupt.Unlock()
	return b.stopped
}

// setChild changes the child. A new one is ended when it comes too late.
func (b *Builder) setChild(c *child) error {
	b.interrupt.Lock()
	defer b.interrupt.Unlock()
	if c != nil && b.stopped {
		_ = c.command.Process.Kill()
		c.end()
		return errStopped
	}
	b.child = c
	return nil
}

// IsIdle tells whether there is no child.
func (b *Builder) IsIdle() bool { return b.child == nil }

// endPatience is how long a child whose input has ended may go on.
const endPatience = 5 * time.Second

// end waits for the child's end, and tells how it came about.
func (c *child) end() string {
	c.in.Close()
	timer := time.AfterFunc(endPatience, func() { c.command.Process.Kill() })
	err := c.command.Wait()
	timer.Stop()
	how := "the snapshot builder ended"
	if state := c.command.ProcessState; state != nil && !state.Success() {
		how = "the snapshot builder died: " + state.String()
	} else if err != nil {
		how += ": " + err.Error()
	}
	if line := fatalLine(c.stderr.String()); line != "" {
		how += ": " + line
	}
	return how
}

// ExitUnusable is the exit code of a builder process that cannot serve, for a reason that lies in no
// app and that it has written to standard error.
const ExitUnusable = 3

// beginning keeps the first bytes that are written to it: the rest of a long text is of no use.
type beginning struct{ buffer bytes.Buffer }

const beginningBytesMax = 16 << 10

func (b *beginning) Write(p []byte) (int, error) {
	if room := beginningBytesMax - b.buffer.Len(); room > 0 {
		b.buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *beginning) String() string { return b.buffer.String() }
