package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A node with a configuration file listens on a unix socket in its state_dir, by which other processes of its user
// control it: the commands of nano, and the node that is to take its place. It serves the admin API, and what only
// the same user may: see controlHandler.

// socketPathMax is how long the path of a unix socket may be for the kernel: sun_path less a zero byte.
const socketPathMax = 107

// viaFolder calls do with a path for a file in a folder that is short enough for a socket, however long the
// folder's own is.
func viaFolder(folder, name string, do func(path string) error) error {
	if path := filepath.Join(folder, name); len(path) <= socketPathMax {
		return do(path)
	}
	fd, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return do(fmt.Sprintf("/proc/self/fd/%d/%s", fd, name))
}

// dialSocket connects to a unix socket in a folder.
func dialSocket(folder, name string) (connection *net.UnixConn, err error) {
	err = viaFolder(folder, name, func(path string) (err error) {
		connection, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err // a nil connection is no nil net.Conn
	}
	return connection, nil
}

// controlSocket is the socket of a running node.
type controlSocket struct {
	path     string
	identity os.FileInfo // of the file, so that another node's is not removed
	server   *http.Server
}

// listenControl opens the socket, in the place of any that is there. The file appears when it can be connected to,
// and for nano's user only.
func listenControl(stateDir string) (*net.UnixListener, *controlSocket, error) {
	temporary := fmt.Sprintf(".%s-%d", controlSocketFile, os.Getpid())
	_ = os.Remove(filepath.Join(stateDir, temporary)) // of a process with the same number
	var listener *net.UnixListener
	err := viaFolder(stateDir, temporary, func(path string) (err error) {
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	listener.SetUnlinkOnClose(false)
	s := &controlSocket{path: filepath.Join(stateDir, controlSocketFile)}
	from := filepath.Join(stateDir, temporary)
	if err = os.Chmod(from, 0o600); err == nil {
		if s.identity, err = os.Lstat(from); err == nil {
			err = os.Rename(from, s.path)
		}
	}
	if err != nil {
		_ = os.Remove(from)
		return nil, nil, errors.Join(err, listener.Close())
	}
	return listener, s, nil
}

const (
	// controlHeadPatience is how long a client may take for the head of a request.
	controlHeadPatience = 10 * time.Second
	// controlEndPatience is how long the node waits at its end for answers that are being written.
	controlEndPatience = time.Second
)

// isControlled reports whether a node listens on the control socket of a state_dir.
func isControlled(stateDir string) bool {
	other, err := dialSocket(stateDir, controlSocketFile)
	if err != nil {
		return false
	}
	other.Close()
	return true
}

// serveControl opens the node's control socket. isSuccessor: the node takes the place of another, whose socket it
// replaces. Without the socket the node serves all the same, and the log says why.
func (n *node) serveControl(isSuccessor bool) {
	if n.configured.File == "" {
		return
	}
	folder := n.configured.Server.StateDir
	if !isSuccessor {
		if n.isSecond || isControlled(folder) {
			n.logger.Warn("another node runs with the same state_dir, so `nano reload` and others reach that one: give each node its own")
			return
		}
	}
	listener, socket, err := listenControl(folder)
	if err != nil {
		n.logger.Warn("control.sock: " + err.Error() + ": `nano reload` and others cannot reach this node")
		return
	}
	socket.server = &http.Server{
		Handler: n.controlHandler(n.admin.handler), ReadHeaderTimeout: controlHeadPatience,
		ErrorLog: slog.NewLogLogger(n.logger.Handler(), slog.LevelWarn),
	}
	n.socket = socket
	go func() { _ = socket.server.Serve(listener) }() // it ends by close
}

// controlHandler adds to the admin API what only processes of the same user may ask for.
func (n *node) controlHandler(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+upgradePath, func(w http.ResponseWriter, r *http.Request) {
		process, err := n.upgrade(r.Context())
		if err != nil {
			writeControl(w, http.StatusUnprocessableEntity, map[string]string{"error": err.Error()})
			return
		}
		writeControl(w, http.StatusOK, map[string]int{"pid": process})
	})
	mux.HandleFunc("POST "+handoverPath, n.handOver)
	mux.Handle("/", api)
	return mux
}

func writeControl(w http.ResponseWriter, status int, value any) {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // whoever asked is gone
}

// close ends the socket.
func (s *controlSocket) close() {
	if s == nil {
		return
	}
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.identity) {
		_ = os.Remove(s.path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlEndPatience)
	defer cancel()
	if s.server.Shutdown(ctx) != nil { // somebody follows the log
		_ = s.server.Close()
	}
}
