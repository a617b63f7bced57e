package main

import (
	"context"
	"log/slog"
	"time"

	"nano/config"
	"nano/loop"
	"nano/tracing"
)

// tracesCloseLimit is how long the end of the node waits for the collector to take the last traces.
const tracesCloseLimit = 2 * time.Second

// startTraces begins to send what the loops record to the collector of [tracing]; nil: there is none.
func startTraces(c *config.Config, source *loop.Tracing, logger *slog.Logger) *tracing.Exporter {
	if source == nil {
		return nil
	}
	headers := make(map[string]string, len(c.Tracing.Headers))
	for name, value := range c.Tracing.Headers {
		headers[name] = string(value)
	}
	return tracing.Start(tracing.Options{Endpoint: c.Tracing.Endpoint, Headers: headers, Service: c.Tracing.Service, Version: version,
		Source: source, Logger: logger})
}

// closeTraces sends the last traces, after the loops have ended.
func closeTraces(traces *tracing.Exporter) {
	if traces == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tracesCloseLimit)
	defer cancel()
	traces.Close(ctx)
}
