package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nano/config"
	"nano/loop"
	"nano/systemd"
)

// A node is upgraded by another process that takes its place:
//
//  1. The new process asks for the listening sockets on the control socket (handoverPath). From here on the old
//     node takes no reloads or deployments, so that what the new one finds in state_dir stays true.
//  2. The old node sends what the sockets are, and then the sockets (SCM_RIGHTS, unix(7)). Both processes may
//     accept from them now.
//  3. When the new node serves, it says so. The old one tells the service manager whose main process that is,
//     answers, and drains: what it has accepted it answers, and what waits in the sockets is the new one's.
//  4. If the new process goes away before, which ends the connection, the old node goes on as if nothing had been.
const (
	upgradePath  = "/v1/upgrade"
	handoverPath = "/v1/handover"
)

// The words of steps 2 and 3, a line each.
const (
	wordSend     = "send"
	wordReady    = "ready"
	wordDraining = "draining"
)

// socketsPerMessage is how many sockets are sent at once; the kernel takes 253 (SCM_MAX_FD).
const socketsPerMessage = 64

// handoverPatience is how long the two processes wait for each other's words, but for the new node's start.
const handoverPatience = 10 * time.Second

// offered is a listening socket, as step 2 describes it.
type offered struct {
	Address string `json:"address"` // as in [server] listen
}

// executable is the file that this process was started from, by the name that it had then: its successor may be
// there when it is asked for.
var executable = func() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}()

// handOver serves a process that is to take this node's place.
func (n *node) handOver(w http.ResponseWriter, r *http.Request) {
	resume, err := n.Freeze()
	if err != nil {
		writeControl(w, http.StatusConflict, map[string]string{"error": err.Error()})
		return
	}
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		resume()
		return
	}
	defer connection.Close()
	n.logger.Info("handing over to another process")
	if err := n.handOverOn(connection.(*net.UnixConn)); err != nil {
		n.logger.Error("the other process does not serve, this one goes on: " + err.Error())
		resume()
		return
	}
	n.logger.Info("handed over, draining")
	close(n.handedOver)
	n.loops.HandOver()
	n.loops.Drain()
}

func (n *node) handOverOn(connection *net.UnixConn) error {
	words := bufio.NewReader(connection)
	if err := connection.SetDeadline(time.Now().Add(handoverPatience)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(connection, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: nano-handover\r\n\r\n"); err != nil {
		return err
	}
	if err := expectWord(words, wordSend); err != nil {
		return err
	}
	listeners, err := n.loops.ListenerFiles()
	if err != nil {
		return err
	}
	err = sendListeners(connection, listeners)
	loop.CloseFiles(listeners)
	if err != nil {
		return err
	}
	if err := connection.SetDeadline(time.Now().Add(startPatience(n.Config()))); err != nil {
		return err
	}
	if err := expectWord(words, wordReady); err != nil {
		return err
	}
	n.admin.close() // the address is free for the other one now
	if process, err := peerOf(connection); err == nil {
		n.manager.HandOver(process)
	}
	_ = connection.SetDeadline(time.Now().Add(handoverPatience))
	fmt.Fprintln(connection, wordDraining) // it serves, whether it hears that or not
	return nil
}

func expectWord(words *bufio.Reader, want string) error {
	line, err := words.ReadString('\n')
	if err != nil {
		return fmt.Errorf("waiting for %q: %w", want, err)
	}
	if line = strings.TrimSuffix(line, "\n"); line != want {
		return fmt.Errorf("%q instead of %q", line, want)
	}
	return nil
}

// peerOf is the process at the other end.
func peerOf(connection *net.UnixConn) (process int, err error) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		credentials, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(controlErr, err); err != nil {
		return 0, err
	}
	return int(credentials.Pid), nil
}

// sendListeners sends a line of JSON, and then the sockets, each message with a byte.
func sendListeners(connection *net.UnixConn, listeners []loop.ListenerFile) error {
	list := make([]offered, len(listeners))
	for i, listener := range listeners {
		list[i] = offered{listener.Address}
	}
	if err := json.NewEncoder(connection).Encode(list); err != nil {
		return err
	}
	for len(listeners) > 0 {
		part := listeners[:min(len(listeners), socketsPerMessage)]
		listeners = listeners[len(part):]
		var fds []int
		for _, listener := range part {
			fds = append(fds, int(listener.File.Fd()))
		}
		if _, _, err := connection.WriteMsgUnix([]byte{'+'}, unix.UnixRights(fds...), nil); err != nil {
			return err
		}
	}
	return nil
}

// predecessor is the node whose place this process takes.
type predecessor struct{ connection *net.UnixConn }

// takeOver asks the node that is configured so for its listening sockets.
func takeOver(c *config.Config) (p *predecessor, listeners []loop.ListenerFile, err error) {
	connection, err := dialSocket(c.Server.StateDir, controlSocketFile)
	if err != nil {
		return nil, nil, fmt.Errorf("--upgrade: no node runs with this configuration: %w", err)
	}
	p = &predecessor{connection}
	if listeners, err = p.receive(); err != nil {
		p.close()
		return nil, nil, fmt.Errorf("--upgrade: the node that runs: %w", err)
	}
	return p, listeners, nil
}

func (p *predecessor) receive() ([]loop.ListenerFile, error) {
	if err := p.connection.SetDeadline(time.Now().Add(handoverPatience)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(p.connection, "POST %s HTTP/1.1\r\nhost: nano\r\nconnection: upgrade\r\nupgrade: nano-handover\r\ncontent-length: 0\r\n\r\n", handoverPath); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(byteByByte{p.connection}, 16), nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		var answer struct {
			Error string `json:"error"`
		}
		_ = json.NewDecoder(response.Body).Decode(&answer)
		return nil, fmt.Errorf("%s: %s", response.Status, answer.Error)
	}
	if _, err := fmt.Fprintln(p.connection, wordSend); err != nil {
		return nil, err
	}
	line, err := bufio.NewReaderSize(byteByByte{p.connection}, 16).ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	var list []offered
	if err := json.Unmarshal(line, &list); err != nil {
		return nil, err
	}
	return receiveListeners(p.connection, list)
}

// byteByByte reads no further than it is asked to: sockets come with bytes, and are lost to a reader who takes
// these in advance.
type byteByByte struct{ from *net.UnixConn }

// Read implements io.Reader.
func (b byteByByte) Read(p []byte) (int, error) { return b.from.Read(p[:min(len(p), 1)]) }

func receiveListeners(connection *net.UnixConn, list []offered) (listeners []loop.ListenerFile, err error) {
	defer func() {
		if err != nil {
			loop.CloseFiles(listeners)
			listeners = nil
		}
	}()
	ancillary := make([]byte, unix.CmsgSpace(4*socketsPerMessage))
	for len(listeners) < len(list) {
		var one [1]byte
		_, length, _, _, err := connection.ReadMsgUnix(one[:], ancillary)
		if err != nil {
			return listeners, err
		}
		messages, err := unix.ParseSocketControlMessage(ancillary[:length])
		if err != nil {
			return listeners, err
		}
		before := len(listeners)
		for i := range messages {
			fds, err := unix.ParseUnixRights(&messages[i])
			if err != nil {
				return listeners, err
			}
			for _, fd := range fds {
				unix.CloseOnExec(fd)
				if len(listeners) == len(list) {
					_ = unix.Close(fd)
					return listeners, errors.New("it sends more sockets than it says")
				}
				address := list[len(listeners)].Address
				listeners = append(listeners, loop.ListenerFile{Address: address, File: os.NewFile(uintptr(fd), address)})
			}
		}
		if len(listeners) == before {
			return listeners, errors.New("it sends no sockets")
		}
	}
	return listeners, nil
}

// ready says that this process serves, and waits until the one before drains.
func (p *predecessor) ready() error {
	defer p.close()
	if err := p.connection.SetDeadline(time.Now().Add(handoverPatience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(p.connection, wordReady); err != nil {
		return err
	}
	return expectWord(bufio.NewReader(p.connection), wordDraining)
}

func (p *predecessor) close() {
	if p != nil {
		p.connection.Close()
	}
}

// upgrade starts the program that lies where this one did, as the node that takes this one's place, and waits
// until it serves.
func (n *node) upgrade(ctx context.Context) (process int, err error) {
	if n.socket == nil {
		return 0, errors.New("this node has no control socket, by which another one could take its place")
	}
	command := exec.Command(executable, "serve", "--upgrade", "-c", n.configured.File)
	command.Args[0] = os.Args[0]
	command.Env = systemd.Environment(os.Environ())
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Start(); err != nil {
		return 0, err
	}
	n.logger.Info("starting the program anew", "pid", command.Process.Pid)
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case <-n.handedOver:
		return command.Process.Pid, nil
	case err := <-ended:
		if err == nil {
			err = errors.New("it ended")
		}
		return 0, fmt.Errorf("%s does not serve: %w: see the log", executable, err)
	case <-ctx.Done():
		_ = command.Process.Kill() // it has ended by itself
		return 0, ctx.Err()
	}
}

// logUpgrade is upgrade for a signal, which nobody waits for.
func (n *node) logUpgrade() {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience(n.Config()))
	defer cancel()
	if _, err := n.upgrade(ctx); err != nil {
		n.logger.Error("upgrade: " + err.Error())
	}
}

func runUpgrade(s *streams, args []string) error {
	flags := newFlags(s, "upgrade", `Replaces the running node of a configuration by the program that lies in the place of its own now,
without losing a request: the new process takes over the listening sockets, and when it serves, the
old one drains. If it does not come up, the old one goes on. Settings that a reload cannot change are
taken over too. SIGUSR2 does the same.
`)
	at := targetFlags(flags)
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	c, err := at.connect()
	if err != nil {
		return err
	}
	var answer struct {
		PID int `json:"pid"`
	}
	if err := c.call(context.Background(), http.MethodPost, upgradePath, nil, &answer); err != nil {
		return err
	}
	if c.json {
		return printJSON(s.out, answer)
	}
	fmt.Fprintf(s.out, "process %d serves now\n", answer.PID)
	return nil
}
