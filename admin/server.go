package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"
)

// Bounds of what clients make a Server hold.
const (
	connectionsMax = 256
	headBytesMax   = 32 << 10 // settings of a deploy stand in its URL
	headPatience   = 10 * time.Second
	idlePatience   = 60 * time.Second
)

// Server serves the interface on one listener.
type Server struct {
	server   *http.Server
	listener net.Listener
	endAll   context.CancelFunc
	done     chan struct{}
}

// Listen opens an address of [admin] listen: host:port, or unix: and an absolute path. A socket that a process left
// behind which is gone is replaced. The node's user and group may connect to it.
func Listen(listen string) (listener net.Listener, err error) {
	if path, isSocket := strings.CutPrefix(listen, "unix:"); isSocket {
		listener, err = listenUnix(path)
	} else {
		listener, err = net.Listen("tcp", listen)
	}
	if err != nil {
		return nil, fmt.Errorf("[admin] listen %s: %w", listen, reason(err))
	}
	return listener, nil
}

// unixListener removes its socket at the end, unless that is another process's by then.
type unixListener struct {
	*net.UnixListener
	path     string
	identity os.FileInfo
}

// Close implements net.Listener.
func (l *unixListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.identity) {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

func listenUnix(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if connection, err := net.DialTimeout("unix", path, time.Second); err == nil {
			connection.Close()
			return nil, errors.New("another process listens there")
		} else if !errors.Is(err, unix.ECONNREFUSED) {
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	identity, err := os.Lstat(path)
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &unixListener{listener, path, identity}, nil
}

// reason takes off an error what its message says anyway.
func reason(err error) error {
	var operation *net.OpError
	if errors.As(err, &operation) {
		err = operation.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}

// Serve serves a handler on a listener, until Close.
func Serve(listener net.Listener, handler http.Handler, logger *slog.Logger) *Server {
	ending := make(chan struct{})
	base, endAll := context.WithCancel(context.WithValue(context.Background(), endingKey{}, ending))
	s := &Server{listener: listener, endAll: endAll, done: make(chan struct{})}
	s.server = &http.Server{
		Handler: handler, BaseContext: func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: headPatience, IdleTimeout: idlePatience, WriteTimeout: ioPatience, MaxHeaderBytes: headBytesMax,
		ErrorLog: slog.NewLogLogger(prefixed{logger.Handler()}, slog.LevelWarn),
	}
	s.server.RegisterOnShutdown(sync.OnceFunc(func() { close(ending) }))
	go func() {
		defer close(s.done)
		if err := s.server.Serve(netutil.LimitListener(listener, connectionsMax)); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("admin: " + err.Error())
		}
	}()
	return s
}

// endingKey is under which a request's context has the channel that is closed when its server ends.
type endingKey struct{}

// untilEnd is a request's context that ends when its server begins to end: for streams, which would go on for ever.
func untilEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if ending, ok := ctx.Value(endingKey{}).(chan struct{}); ok {
		go func() {
			select {
			case <-ending:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	return ctx, cancel
}

// prefixed says of what the server itself logs whom it is about.
type prefixed struct{ slog.Handler }

// Handle implements slog.Handler.
func (p prefixed) Handle(ctx context.Context, r slog.Record) error {
	r.Message = "admin: " + r.Message
	return p.Handler.Handle(ctx, r)
}

// Address is what the server listens on.
func (s *Server) Address() net.Addr { return s.listener.Addr() }

// Close ends the server: streams at once, other requests when they are answered or the context ends.
func (s *Server) Close(ctx context.Context) error {
	defer s.endAll()
	err := s.server.Shutdown(ctx)
	if err != nil {
		s.endAll()
		err = errors.Join(err, s.server.Close())
	}
	<-s.done
	return err
}
