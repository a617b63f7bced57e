package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"nano/admin"
	"nano/config"
	"nano/control"
	"nano/logs"
	"nano/loop"
	"nano/metrics"
	"nano/tracing"
)

// adminCloseLimit is how long the end of the node waits for calls of the admin interface that are being answered.
const adminCloseLimit = 2 * time.Second

// adminInterface is by what a node is watched and changed: a handler, which the socket of the command line serves as it
// is, and behind a guard the address of [admin].
type adminInterface struct {
	handler http.Handler
	guard   *admin.Guard  // nil: [admin] is not configured
	server  *admin.Server // the same
}

// newAdmin makes the interface of a node.
func newAdmin(c *config.Config, node *control.Node, loops *loop.Node, log *logs.Log, traces *tracing.Exporter,
	logger *slog.Logger) *adminInterface {
	return &adminInterface{handler: admin.NewHandler(admin.Options{
		Node:    node,
		Metrics: metrics.New(metrics.Options{Source: metricsSource{node, loops, log, traces}, Version: version, AppsMax: c.Admin.MetricsApps}),
		Logs:    log.Hub(),
		Version: version,
		Logger:  logger,
	})}
}

// listen opens the address of [admin], if there is one.
func (a *adminInterface) listen(c *config.Config, logger *slog.Logger) error {
	if c.Admin.Listen == "" {
		return nil
	}
	listener, err := admin.Listen(c.Admin.Listen)
	if err != nil {
		return err
	}
	a.guard = admin.NewGuard(string(c.Admin.Token), strings.HasPrefix(c.Admin.Listen, "unix:"), logger, a.handler)
	a.server = admin.Serve(listener, a.guard, logger)
	logger.Info("admin interface on " + a.address())
	return nil
}

// reloaded takes over what [admin] of a configuration that was read again says of the token. Its address takes a
// restart.
func (a *adminInterface) reloaded(c *config.Config) {
	if a.guard != nil && c.Admin.Listen != "" {
		a.guard.SetToken(string(c.Admin.Token))
	}
}

// address is where [admin] is found, as a client would write it; "": it is not configured.
func (a *adminInterface) address() string {
	if a.server == nil {
		return ""
	}
	return describeAddress(a.server.Address())
}

// close ends the address of [admin].
func (a *adminInterface) close() {
	if a == nil || a.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminCloseLimit)
	defer cancel()
	_ = a.server.Close(ctx) // clients that were too slow are cut
}

// metricsSource is a node as metrics see it.
type metricsSource struct {
	*control.Node
	loops  *loop.Node
	log    *logs.Log
	traces *tracing.Exporter // nil: there is none
}

// Accounts implements metrics.Source.
func (s metricsSource) Accounts(ctx context.Context) (apps, gone []loop.AppStats, err error) {
	return s.loops.Accounts(ctx)
}

// Memory implements metrics.Source.
func (s metricsSource) Memory() loop.MemoryStats { return s.loops.Memory() }

// LogDropped implements metrics.Source.
func (s metricsSource) LogDropped() map[string]uint64 {
	beyondRate, readSlowly := s.log.Lost()
	return map[string]uint64{"rate": beyondRate, "slow_reader": readSlowly}
}

// Spans implements metrics.Source.
func (s metricsSource) Spans() (sent, dropped uint64) {
	if s.traces == nil {
		return 0, 0
	}
	return s.traces.Sent(), s.traces.Dropped()
}
