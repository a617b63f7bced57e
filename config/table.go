package config

import (
	"math"
	"time"
)

// sections is nano.toml, key by key, in the order of the documentation: what the reader accepts, by which defaults
// and bounds, what its messages propose, and what docs/CONFIG.md and nano.toml(5) tell.
//
// A new key is a field in config.go and a row here; `make docs` then writes it into docs/CONFIG.md, and a test asks
// for it in nano.toml.
var sections []section

// The table's functions lead back to the table, so it cannot be a plain initialiser.
func init() {
	sections = []section{
		fileSection, serverSection, adminSection, tracingSection, tracingHeadersSection, isolatesSection, appSection, cronSection, varsSection, secretsSection,
		secretSection, servicesSection, limitsSection, fetchSection, egressSection,
	}
}

var fileSection = section{
	about: "A whole node.",
	keys: []key{
		{name: "server", kind: kindTable, meaning: "what the node listens on"},
		{name: "admin", kind: kindTable, meaning: "its address for health, metrics and control"},
		{name: "tracing", kind: kindTable, meaning: "where traces of requests go"},
		{name: "isolates", kind: kindTable, meaning: "memory and limits"},
		{name: "app", kind: kindTables, meaning: "the apps"},
	},
}

var serverSection = section{
	path: "server", header: "[server]",
	about: "What the node listens on, and what it accepts from clients.",
	keys: []key{
		{name: "listen", kind: kindTexts, standard: `["127.0.0.1:8080"]`,
			meaning: "where to listen: `host:port` (no host: every address; port 0: a free one, which is printed at the start), `unix:/absolute/path`, or `systemd` for the sockets of socket activation"},
		{name: "loops", standard: "0", most: loopsMax,
			into:    func(c *Config, _ *App) any { return &c.Server.Loops },
			meaning: "threads that serve, each with a ring and isolates of its own; 0: one per core that the process may use"},
		{name: "state_dir", kind: kindText, standard: `".nano"`,
			meaning: "folder for snapshots and stores; made if absent"},
		{name: "header_timeout", standard: `"10s"`, least: int64(time.Millisecond),
			into:    func(c *Config, _ *App) any { return &c.Server.HeaderTimeout },
			meaning: "time to receive a whole request head"},
		{name: "idle_timeout", standard: `"60s"`, least: int64(time.Millisecond),
			into:    func(c *Config, _ *App) any { return &c.Server.IdleTimeout },
			meaning: "after which a connection without a request is closed"},
		{name: "drain_timeout", standard: `"10s"`,
			into:    func(c *Config, _ *App) any { return &c.Server.DrainTimeout },
			meaning: "after SIGTERM, time for the requests in hand; `\"0s\"`: none"},
		{name: "max_header", standard: `"32KiB"`, least: headerBytesMin, most: MaxHeaderLimit,
			into:    func(c *Config, _ *App) any { return &c.Server.MaxHeader },
			meaning: "longest request head; 431 beyond"},
		{name: "max_body", standard: `"100MiB"`, least: 1, most: bodyBytesMax,
			into:    func(c *Config, _ *App) any { return &c.Server.MaxBody },
			meaning: "longest request body; 413 beyond. What the app gathers of it counts towards its `heap`"},
		{name: "max_connections", standard: "0",
			into:    func(c *Config, _ *App) any { return &c.Server.MaxConnections },
			meaning: "connections at once, further ones wait in the kernel; 0: as many as the limit of open files allows"},
		{name: "static_cache", standard: `"64MiB"`, least: 1, most: memoryBytesMax,
			into:    func(c *Config, _ *App) any { return &c.Server.StaticCache },
			meaning: "static files that are kept in memory, of all apps together; see [static files](#static-files)"},
		{name: "versions", standard: "5", least: 1, most: versionsMax,
			into:    func(c *Config, _ *App) any { return &c.Server.Versions },
			meaning: "how many versions of an app are kept, to go back to or to split requests between; see [versions](OPERATING.md#versions)"},
		{name: "max_bundle", standard: `"32MiB"`, least: bundleBytesMin, most: bundleBytesMax,
			into:    func(c *Config, _ *App) any { return &c.Server.MaxBundle },
			meaning: "longest bundle of an app, and longest upload of one, packed and unpacked"},
		{name: "log", standard: `"text"`, choices: []string{LogText, LogJSON, LogJournal},
			into:    func(c *Config, _ *App) any { return &c.Server.Log },
			meaning: "form of the log on standard error: `\"text\"` for people, `\"json\"` for machines, `\"journal\"` for the systemd journal with fields, which `\"text\"` is too where the journal reads standard error; see [OPERATING.md](OPERATING.md#logs)"},
		{name: "access_log", standard: "false",
			into:    func(c *Config, _ *App) any { return &c.Server.AccessLog },
			meaning: "a line for every request, in the same form"},
	},
}

var adminSection = section{
	path: "admin", header: "[admin]",
	about: "An address of its own for health, readiness, metrics and control. Without this table there is none.",
	keys: []key{
		{name: "listen", kind: kindText, standard: `"127.0.0.1:9090"`,
			meaning: "where to listen: `host:port` or `unix:/absolute/path`; not one of `[server] listen`"},
		{name: "token_file", kind: kindText, standard: `""`, example: `"admin-token"`,
			meaning: "file that holds the token which clients send as `authorization: Bearer TOKEN`, without blanks and up to 4 KiB long; a line end at its end is not part of it. Without a token, whoever reaches the address may do everything: it may be `\"\"` only on loopback addresses and unix sockets. It should be readable for nano's user only"},
		{name: "metrics_apps", standard: "1000", most: metricsAppsMax,
			into:    func(c *Config, _ *App) any { return &c.Admin.MetricsApps },
			meaning: "how many apps have metrics of their own; those of further ones are added up under one name"},
	},
}

var tracingSection = section{
	path: "tracing", header: "[tracing]",
	about: "Traces of requests, for an OpenTelemetry collector; see [OPERATING.md](OPERATING.md#traces). Without this table none are recorded, and those that clients have begun are only passed on.",
	keys: []key{
		{name: "endpoint", kind: kindText, isRequired: true, example: `"http://127.0.0.1:4318"`,
			meaning: "URL of a collector that takes OTLP over HTTP; `/v1/traces` is added to it"},
		{name: "sample", standard: "0.01", most: 1,
			into:    func(c *Config, _ *App) any { return &c.Tracing.Sample },
			meaning: "part of the requests for which a trace begins, where the client has not begun one. Those of clients are recorded if they say that they are sampled"},
		{name: "service_name", standard: `"nano"`,
			into:    func(c *Config, _ *App) any { return &c.Tracing.Service },
			meaning: "`service.name` of what is recorded"},
		{name: "headers", kind: kindTable, meaning: "headers of requests to the collector"},
	},
}

var tracingHeadersSection = section{
	path: "tracing.headers", header: "[tracing.headers]", isFree: true,
	about: "Headers of requests to the collector, such as credentials. Each key is the name of one, and its value a string, or a table that says as in `[app.secrets]` where it comes from.",
}

var isolatesSection = section{
	path: "isolates", header: "[isolates]",
	about: "The memory that warm apps share, and the limits of an app that sets none of its own.",
	keys: []key{
		{name: "memory", standard: `"1GiB"`, least: memoryBytesMin, most: memoryBytesMax,
			into:    func(c *Config, _ *App) any { return &c.Isolates.Memory },
			meaning: "what the warm isolates of all apps and loops may hold together, V8's heap and other memory alike. Beyond it the least recently used apps without a request in hand sleep"},
		{name: "idle", standard: `"60s"`, least: int64(idleMin),
			into:    func(c *Config, _ *App) any { return &c.Isolates.Idle },
			meaning: "an app that was unused for this long sleeps"},
		{name: "heap", standard: `"128MiB"`, least: heapBytesMin, most: heapBytesMax,
			into:    func(c *Config, _ *App) any { return &c.Isolates.Heap },
			meaning: "memory of an isolate, V8's heap and ArrayBuffers together; one that grows beyond is replaced, and its requests get 503"},
		{name: "cpu", standard: `"50ms"`, least: int64(cpuMin),
			into:    func(c *Config, _ *App) any { return &c.Isolates.CPU },
			meaning: "processor time in JavaScript that one request may use, sampled every 2 ms and added up over everything that is done for it: its handler, what that awaits, its timers. Once it has become a WebSocket, each message and each timer counts for itself. A request that uses more ends the isolate, whose requests get 503. An app's top level may take 1 s"},
		{name: "wall", standard: `"30s"`, least: int64(time.Millisecond),
			into:    func(c *Config, _ *App) any { return &c.Isolates.Wall },
			meaning: "time from a request's arrival to the head of its response; 504 beyond"},
		{name: "clock", standard: `"100us"`, least: int64(clockMin),
			into:    func(c *Config, _ *App) any { return &c.Isolates.Clock },
			meaning: "the steps in which `performance.now()` and the time stamps of events go on. What an app can time to less than that may tell it what other tenants have in the processor's caches (Spectre); for apps that are all your own, finer steps make profiling easier"},
	},
}

var appSection = section{
	path: "app", header: "[[app]]",
	about: "One for each app, with its tables after it.",
	keys: []key{
		{name: "name", kind: kindText, isRequired: true, example: `"hello"`,
			meaning: "1 to 63 of `a-z`, `0-9` and `-`; unique. Logs and messages use it"},
		{name: "main", kind: kindText, isRequired: true, example: `"hello.js"`,
			meaning: "the main module, `.js`, `.mjs`, `.ts`, `.mts`, `.tsx` or `.jsx`, which may import packages from `node_modules`; or a `.nano` file that `nano build` wrote"},
		{name: "hosts", kind: kindTexts, standard: `[]`, example: `["example.com"]`,
			meaning: "names this app answers to: exact ones, or `*.example.com` for every name below it; without port, IPv6 addresses in brackets. None: every host that no other app names"},
		{name: "path", standard: `"/"`, check: checkPath, example: `"/api"`,
			into:    func(_ *Config, app *App) any { return &app.Path },
			meaning: "prefix of the paths it answers to, by whole segments: `/api` takes `/api` and `/api/x`, not `/apix`. The longest prefix wins. The app sees the whole path"},
		{name: "isolation", kind: kindText, standard: `"app"`, choices: []string{"app", "request"},
			meaning: "one isolate per loop serves all requests and keeps its global state. `\"request\"`: a fresh context of the app for each request, so that nothing that one leaves behind is there for the next"},
		{name: "warmup", standard: `""`, check: checkWarmup, example: `"/"`,
			into:    func(_ *Config, app *App) any { return &app.Warmup },
			meaning: "path and query, such as `\"/books?page=1\"`, of a GET request that the app answers once while its snapshot is built, so that the snapshot holds what this request makes V8 compile. Nobody sees the answer, but what the request leaves in the app's global state may be there when later ones come. `\"\"`: none"},
		{name: "health", standard: `""`, check: checkWarmup, example: `"/health"`,
			into:    func(_ *Config, app *App) any { return &app.Health },
			meaning: "path and query of a GET request that a new version of the app must answer with a status from 200 to 399, within `wall`, before it takes the place of the one that serves; the request comes from the node itself, with `nano-health: 1` in its head. `\"\"`: a new version must only start"},
		{name: "static", kind: kindText, standard: `""`, example: `"public"`,
			meaning: "folder whose files are served before the app is asked; see [static files](#static-files)"},
		{name: "cron", kind: kindTables, meaning: "when its `scheduled()` is called; see [[[app.cron]]](#appcron)"},
		{name: "vars", kind: kindTable, meaning: "variables of `env`"},
		{name: "secrets", kind: kindTable, meaning: "secrets of `env`"},
		{name: "services", kind: kindTable, meaning: "other apps that it may call"},
		{name: "limits", kind: kindTable, meaning: "its limits"},
		{name: "fetch", kind: kindTable, meaning: "how `fetch()` goes out"},
		{name: "egress", kind: kindTable, meaning: "what it may reach"},
	},
}

var cronSection = section{
	path: "app.cron", header: "[[app.cron]]",
	about: "Each calls the app's `scheduled(controller, env, ctx)` whenever it is due. An app may have several; it is told which one by `controller.cron`, and for when by `controller.scheduledTime`.",
	keys: []key{
		{name: "schedule", kind: kindText, isRequired: true, example: `"*/5 * * * *"`,
			meaning: "five fields, in UTC: minute, hour, day of month, month, weekday"},
	},
}

var varsSection = section{
	path: "app.vars", header: "[app.vars]", isFree: true,
	about: "Each key is a property of `env`: a string, number, boolean, table or array.",
}

var secretsSection = section{
	path: "app.secrets", header: "[app.secrets]", isFree: true,
	about: "Each key is a string property of `env`, too, and its value comes from elsewhere. It is never logged.",
}

// secretSection is the table that a secret is.
var secretSection = section{
	path: "app.secrets.*", header: "[app.secrets] NAME",
	about: "Where a secret comes from: one of these keys.",
	keys: []key{
		{name: "file", kind: kindText, example: `"api_key"`,
			meaning: "the file that holds it. One line end at its end is not part of the secret"},
		{name: "env", kind: kindText, example: `"API_KEY"`,
			meaning: "the environment variable that holds it"},
		{name: "credential", kind: kindText, example: `"api_key"`,
			meaning: "the credential of systemd's that holds it: `LoadCredential=NAME:FILE` in the unit. Its file, which only the service can read, need not be readable for nano's user"},
	},
}

var servicesSection = section{
	path: "app.services", header: "[app.services]", isFree: true,
	about: "Each key is a property of `env` that calls another app of the node, by its name.",
}

var limitsSection = section{
	path: "app.limits", header: "[app.limits]",
	about: "What this app may use, where that is not what `[isolates]` and `[server]` say.",
	keys: []key{
		{name: "wall", inherits: "isolates.wall", least: int64(time.Millisecond),
			into:    func(_ *Config, app *App) any { return &app.Limits.Wall },
			meaning: "for this app"},
		{name: "max_body", inherits: "server.max_body", least: 1, most: bodyBytesMax,
			into:    func(_ *Config, app *App) any { return &app.Limits.MaxBody },
			meaning: "for this app"},
		{name: "cpu", inherits: "isolates.cpu", least: int64(cpuMin),
			into:    func(_ *Config, app *App) any { return &app.Limits.CPU },
			meaning: "for this app"},
		{name: "heap", inherits: "isolates.heap", least: heapBytesMin, most: heapBytesMax,
			into:    func(_ *Config, app *App) any { return &app.Limits.Heap },
			meaning: "for this app"},
		{name: "concurrent_requests", standard: "0",
			into:    func(_ *Config, app *App) any { return &app.Limits.ConcurrentRequests },
			meaning: "requests of this app that are in hand at once; further ones get 503. A WebSocket is none once it is open. `0`: no limit of its own"},
		{name: "subrequests", standard: "1000", most: math.MaxInt32,
			into:    func(_ *Config, app *App) any { return &app.Limits.Subrequests },
			meaning: "how often one request may call `fetch()`, those of services and `ASSETS` included, `connect()` or `new WebSocket()`, with what `waitUntil` goes on with; then they throw a TypeError. `0`: not at all"},
		{name: "websocket_message", standard: `"1MiB"`, least: 1, most: webSocketMessageMax,
			into:    func(_ *Config, app *App) any { return &app.Limits.WebSocketMessage },
			meaning: "a message that comes over a WebSocket, with its compression removed; a larger one ends the connection with code 1009"},
		{name: "log_rate", standard: "1000", least: 1, most: logRateMax,
			into:    func(_ *Config, app *App) any { return &app.Limits.LogRate },
			meaning: "lines a second that the app may log, of 512 bytes on average; two seconds' worth of them at once. More are dropped, and the log says how many"},
	},
}

var fetchSection = section{
	path: "app.fetch", header: "[app.fetch]",
	about: "How `fetch()` goes out.",
	keys: []key{
		{name: "roots", kind: kindText, example: `"ca.pem"`,
			meaning: "a file of certificates in PEM form, which `https:` and `wss:` trust beside those of the system"},
		{name: "proxy", kind: kindText, example: `"http://127.0.0.1:3128"`,
			meaning: "`\"http://host:port\"` or `\"http://user:password@host:port\"`: an HTTP proxy for `fetch()` and WebSockets, not for `connect()`"},
	},
}

var egressSection = section{
	path: "app.egress", header: "[app.egress]",
	about: "What `fetch()`, `connect()` and `new WebSocket()` may reach.",
	keys: []key{
		{name: "allow", kind: kindTexts, standard: `["*"]`, example: `["*", "10.0.0.0/8", "*.example.com:443"]`,
			meaning: "what may be reached; nothing else may"},
		{name: "deny", kind: kindTexts, standard: `[]`, example: `["10.0.0.0/8", "*.example.com:443"]`,
			meaning: "what may not be, whatever `allow` says"},
	},
}
