// Package systemd tells the service manager how the node does, by the protocol of sd_notify(3). Without a service
// manager, which is when $NOTIFY_SOCKET is not set, everything here does nothing.
//
// Messages of one process arrive in their order. None of the functions blocks for long: the socket is a datagram
// socket of this machine.
package systemd

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is the service manager, if there is one; nil: there is none.
type Manager struct {
	// Report is told what could not be sent, in one line; nil: nobody is.
	Report func(err error)

	isThere  bool
	watchdog time.Duration // after which a service that has not pinged is killed; 0: there is no watchdog
}

// New finds the service manager in the environment.
func New() *Manager {
	watchdog, _ := daemon.SdWatchdogEnabled(false) // what is not a number is no watchdog
	return &Manager{isThere: os.Getenv("NOTIFY_SOCKET") != "", watchdog: watchdog}
}

func (m *Manager) exists() bool { return m != nil && m.isThere }

// Environment is environ for a process that takes over from this one: the watchdog, which is asked for by process
// id, is that one's, too.
func Environment(environ []string) []string {
	var passed []string
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "WATCHDOG_PID=") {
			passed = append(passed, variable)
		}
	}
	return passed
}

// send sends assignments, a line each.
func (m *Manager) send(assignments ...string) {
	if !m.exists() {
		return
	}
	if _, err := daemon.SdNotify(false, strings.Join(assignments, "\n")); err != nil && m.Report != nil {
		m.Report(fmt.Errorf("service manager: %w", err))
	}
}

// status is one line for `systemctl status`.
func status(text string) string {
	return "STATUS=" + strings.Join(strings.Fields(text), " ")
}

// While a node starts, it asks for startExtension more every startInterval.
const (
	startInterval  = 5 * time.Second
	startExtension = 30 * time.Second
)

// Starting keeps the manager waiting while the node starts, for most at the longest: a start that hangs is not
// waited for. done ends it, and has to be called.
func (m *Manager) Starting(most time.Duration, text string) (done func()) {
	if !m.exists() {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(context.Background(), most)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(startInterval)
		defer ticker.Stop()
		for {
			m.send("EXTEND_TIMEOUT_USEC="+strconv.FormatInt(startExtension.Microseconds(), 10), status(text))
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return func() {
		cancel()
		<-ended // nothing of it comes after READY=1
	}
}

// Ready says that the node serves: after its start, after a reload, and after it took over from another process.
func (m *Manager) Ready(text string) { m.send(daemon.SdNotifyReady, status(text)) }

// Reloading says that a reload begins. Ready must follow, whether it succeeds or not.
func (m *Manager) Reloading(text string) {
	// The time tells the manager which of its requests to reload this is about (Type=notify-reload).
	m.send(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()), status(text))
}

// Stopping says that the node drains.
func (m *Manager) Stopping(text string) { m.send(daemon.SdNotifyStopping, status(text)) }

// HandOver says that another process of the same service is its main process from now on. This one may end then,
// and what it sends further is not listened to.
func (m *Manager) HandOver(process int) { m.send("MAINPID=" + strconv.Itoa(process)) }

// statusInterval is how often the status is told where no watchdog wants more.
const statusInterval = 10 * time.Second

// Watch tells the status, and pings the watchdog if there is one, until ctx ends. Each time it asks probe: no ping
// is sent unless the node is alive, that is, every part of it has answered before the Context's end.
func (m *Manager) Watch(ctx context.Context, probe func(ctx context.Context) (text string, alive bool)) {
	if !m.exists() {
		return
	}
	interval := statusInterval
	if m.watchdog > 0 {
		interval = min(interval, m.watchdog/3) // one may be late, and one be lost
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		m.ping(ctx, interval, probe)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (m *Manager) ping(ctx context.Context, within time.Duration, probe func(ctx context.Context) (string, bool)) {
	asked, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	text, alive := probe(asked)
	switch {
	case ctx.Err() != nil:
	case alive && m.watchdog > 0:
		m.send(daemon.SdNotifyWatchdog, status(text))
	default:
		m.send(status(text))
	}
}
