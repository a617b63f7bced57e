// Package config reads nano.toml: strictly, with the line and column of every problem, and all
// problems at once. docs/CONFIG.md lists every key for users.
//
// The way of a document: the toml package parses it (the only place that imports it), scan finds
// where each key and value stands (position.go), and a reader walks both trees together and fills
// a Config (read.go). Nothing here looks at the apps' own source files.
//
// What keys there are, with type, default, range and meaning, stands in one table (table.go), from which
// docs/CONFIG.md is generated. A new key is a field of a struct here and a row there; then `make docs`, and
// nano.toml has to show it.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nano/cron"
	"nano/egress"
)

// Config is a whole node as nano.toml describes it, checked and with every default filled in.
type Config struct {
	File     string // the file it was read from, as the user named it; "" if made in memory
	Server   Server
	Admin    Admin
	Tracing  Tracing
	Isolates Isolates
	Apps     []App // in the order of the file
	// Warnings are what the file may say, and whoever wrote it should know of.
	Warnings Problems
	// Inputs are the absolute paths of the files that it was read from: nano.toml, secrets, certificates.
	Inputs []string

	dir string // absolute; relative paths are taken from it
}

// Server is the [server] table: what the node listens on, and what it accepts from clients.
type Server struct {
	// Listen holds "host:port" (an empty host: every address; port 0: a free one),
	// "unix:/absolute/path" or "systemd". At least one, no two the same.
	Listen         []string
	Loops          int           // locked threads that serve; 0: one for each core
	StateDir       string        // absolute; may not exist yet
	HeaderTimeout  time.Duration // to receive a whole request head; above 0
	IdleTimeout    time.Duration // a connection without a request is closed after it; above 0
	DrainTimeout   time.Duration // how long requests may go on after SIGTERM; 0: not at all
	MaxHeader      int64         // bytes of a request head, at most MaxHeaderLimit
	MaxBody        int64         // bytes of a request body
	MaxConnections int           // 0: as the limit of open files allows
	Log            string        // LogText, LogJSON or LogJournal
	AccessLog      bool          // a log line for every request
	StaticCache    int64         // bytes of static files that are kept in memory
	Versions       int           // of each app, that are kept; at least 1
	MaxBundle      int64         // bytes of a bundle, and of an upload
}

// The forms of Server.Log.
const (
	LogText    = "text"    // for people
	LogJSON    = "json"    // one JSON object a line, for machines
	LogJournal = "journal" // by the protocol of the systemd journal
)

// Admin is the [admin] table: the address of health, metrics and control.
type Admin struct {
	// Listen is "host:port" or "unix:/absolute/path", as in Server.Listen; "": the table is absent, and
	// there is no such address.
	Listen string
	// TokenFile is the absolute path of the file that Token was read from; "": none.
	TokenFile string
	// Token is what clients prove themselves by; "": whoever reaches Listen may do everything, which only
	// holds for this machine's own users.
	Token Secret
	// MetricsApps is how many apps have metrics of their own; those of the others are added up.
	MetricsApps int
}

// MaxHeaderLimit is the longest request head that can be configured, in bytes: offsets into a head
// have 16 bits.
const MaxHeaderLimit = 64<<10 - 1

// Isolates is the [isolates] table: the memory that warm apps share, and the limits of an app that
// sets none of its own.
type Isolates struct {
	Memory int64         // bytes that the warm isolates of all loops may hold together
	Idle   time.Duration // an app that was unused for this long sleeps
	Clock  time.Duration // the steps of the clock that apps see; at least clockMin
	Heap   int64         // bytes of V8 heap of one isolate
	CPU    time.Duration // processor time of a request in JavaScript; at least cpuMin
	Wall   time.Duration // from a request's arrival to the head of its response; above 0
}

// What can be configured: V8 itself needs some heap, and one cage of 4 GiB holds those of all
// isolates; processor time is counted in ticks of 2 to 4 ms.
const (
	heapBytesMin   = 8 << 20
	heapBytesMax   = 2 << 30
	memoryBytesMin = 16 << 20
	memoryBytesMax = 1 << 40
	cpuMin         = 5 * time.Millisecond
	idleMin        = 10 * time.Millisecond
	clockMin       = time.Microsecond
)

// App is one [[app]].
type App struct {
	Name string // [a-z0-9-]{1,63}, unique in the node
	Main string // absolute path of the main module, or of a file that `nano build` wrote
	// Hosts are exact names or "*.name", in lower case, without port; IPv6 addresses in brackets.
	// Empty: every host that no other app names.
	Hosts []string
	Path  string // prefix, begins with "/"
	// IsolatePerRequest: isolation = "request", a fresh context for each request.
	IsolatePerRequest bool
	// Warmup is the path and query of a request that warms the app up while its snapshot is built;
	// "": none. It begins with "/".
	Warmup string
	// Health is the path and query of a request that a new version must answer well; "": none.
	Health  string
	Vars    map[string]any
	Secrets map[string]Secret
	// Services are the members of env that call other apps of the node: names of apps by names of env.
	Services map[string]string
	Limits   Limits
	// Egress is what fetch() and connect() may reach; nil: every public address.
	Egress *egress.Rules
	Fetch  Fetch
	// Static is the absolute path of the folder whose files are served before the app is asked; "": none.
	Static string
	// Cron are the triggers that call scheduled(), in the order of the file.
	Cron []CronTrigger

	// Bundling is what a project's own configuration says of how it is bundled.
	Bundling Bundling

	clock time.Duration // Isolates.Clock

	// Where the app and its main stand in Config.File, for messages about them.
	At, MainAt, StaticAt Position
}

// Bundling is how TypeScript and packages become one module.
type Bundling struct {
	Define map[string]string // expressions by the names that they replace
	Alias  map[string]string // packages by the names that are imported
	Rules  []BundlingRule    // in the order in which they are asked
	Minify bool
	// NodeCompat: the app wants the globals of Node.js, if the project has polyfills for them.
	NodeCompat bool
}

// BundlingRule says what the files are whose paths match one of the globs.
type BundlingRule struct {
	Type  string // "Text", "Data" or "CompiledWasm"
	Globs []string
}

// CronTrigger is one [[app.cron]].
type CronTrigger struct {
	Text     string // the expression as it was written, which the app is told
	Schedule *cron.Schedule
}

// Limits are what one app may use: its own [app.limits], or else the node's.
type Limits struct {
	Heap               int64         // as Isolates.Heap
	CPU                time.Duration // as Isolates.CPU
	Wall               time.Duration // as Isolates.Wall
	MaxBody            int64         // as Server.MaxBody
	ConcurrentRequests int           // in hand at once; 0: no limit of its own
	Subrequests        int           // how often one request may call fetch(); 0: not at all
	WebSocketMessage   int64         // of a message that comes, in bytes
	LogRate            int           // lines a second that the app may log
}

// Default is the configuration of an empty nano.toml in the folder dir, which should be absolute. The defaults are
// those of the table of keys.
func Default(dir string) *Config {
	c := &Config{dir: dir, Server: Server{
		Listen:   []string{literal(strings.Trim(keyAt("server.listen").standard, "[]")).(string)},
		StateDir: filepath.Join(dir, literal(keyAt("server.state_dir").standard).(string)),
	}}
	for _, path := range []string{"server", "admin", "tracing", "isolates"} {
		sectionOf(path).setDefaults(c, nil)
	}
	return c
}

// defaultApp is an [[app]] without a key, in a node that is configured as c says.
func defaultApp(c *Config) App {
	app := App{Vars: map[string]any{}, Secrets: map[string]Secret{}, clock: c.Isolates.Clock}
	sectionOf("app").setDefaults(c, &app)
	sectionOf("app.limits").setDefaults(c, &app)
	return app
}

const (
	// subrequestsDefault is the runtime's own default, too.
	subrequestsDefault = 1000
	// clockDefault is the runtime's own default, too. Finer clocks have served to read what other programs leave in a
	// processor's caches.
	clockDefault = 100 * time.Microsecond
	// What max_bundle and versions can be: an app that V8 takes, and a list that people can read.
	bundleBytesMin = 1 << 10
	bundleBytesMax = 1 << 30
	versionsMax    = 100
	// webSocketMessageMax bounds what one connection can make a loop hold.
	webSocketMessageMax = 128 << 20
	logRateMax          = 1_000_000
)

// Load reads the configuration file. The error is a Problems when the file could be read but not
// accepted.
func Load(file string) (*Config, error) { return load(file, realSurroundings) }

// Inspect is Load for a command that tells about a configuration and does not serve it. A credential of systemd's,
// which only the service can read, is a warning there, and its secret is empty.
func Inspect(file string) (*Config, error) {
	around := realSurroundings
	around.isInspection = true
	return load(file, around)
}

func load(file string, around surroundings) (*Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, WithoutPath(err))
	}
	if len(bytes.TrimSpace(text)) == 0 {
		// It is as an editor leaves it that empties a file before it writes: a reload just then would remove all apps.
		return nil, Problems{{file, Position{1, 1}, "", "is empty", "write at least [server] to serve no app of this file"}}
	}
	return parse(file, text, around)
}

// StateDir is the state folder of the node that a configuration file describes, by which other processes find that
// node. Nothing else of the file is looked at: whoever asks the node may be unable to read its secrets, and what
// else is wrong there, the node tells that reads it.
func StateDir(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, WithoutPath(err))
	}
	values, _, problem := decode(file, string(text))
	if problem != nil {
		return "", Problems{*problem}
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(absolute)
	server, _ := values["server"].(map[string]any)
	if folder, _ := server["state_dir"].(string); folder != "" {
		return resolve(dir, folder), nil
	}
	return Default(dir).Server.StateDir, nil
}

// Parse is Load for a document that is in memory already. Relative paths in it, those of secrets
// included, are taken from the folder of file.
func Parse(file string, text []byte) (*Config, error) {
	return parse(file, text, realSurroundings)
}

var realSurroundings = surroundings{
	lookupEnv: os.LookupEnv, readFile: readSecretFile, readRoots: readRootsFile, isOpen: isReadableByAll,
}

// Single is the configuration of a node that serves one app from one file, as `nano run` does. The
// state folder is the user's cache, because the file may lie where nothing should be written.
func Single(main, listen string) (*Config, error) {
	absolute, err := filepath.Abs(main)
	if err != nil {
		return nil, err
	}
	if what, cure := checkMain(main); what != "" {
		return nil, errors.New(sentence(what, cure))
	}
	listen, what, cure := checkListen(listen)
	if what != "" {
		return nil, errors.New("--listen: " + sentence(what, cure))
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = filepath.Join(os.TempDir(), fmt.Sprintf("user-%d", os.Getuid()))
	}
	c := Default(filepath.Dir(absolute))
	c.Server.Listen = []string{listen}
	c.Server.StateDir = filepath.Join(cache, "nano")
	app := defaultApp(c)
	app.Name, app.Main = nameOfFile(absolute), absolute
	c.Apps = []App{app}
	return c, nil
}

// nameOfFile makes an app's name of the name of its file: "My App.js" is my-app.
func nameOfFile(file string) string {
	base := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		}
		return '-'
	}, base)
	name = strings.Trim(name[:min(len(name), nameLengthMax)], "-")
	if name == "" {
		return "app"
	}
	return name
}

// surroundings is what a document may refer to outside itself.
type surroundings struct {
	lookupEnv func(name string) (value string, ok bool)
	readFile  func(path string) ([]byte, error)
	readRoots func(path string) ([]byte, error)
	// isOpen reports whether every user of the machine may read a file.
	isOpen func(path string) bool
	// isInspection says that nothing will be served; see Inspect.
	isInspection bool
}

// secretBytesMax bounds the file of a secret: a wrong path (a device, a core dump) must not be
// read into every isolate.
const secretBytesMax = 64 << 10

func readSecretFile(path string) ([]byte, error) { return readFileUpTo(path, secretBytesMax) }

func readFileUpTo(path string, bytesMax int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, WithoutPath(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, bytesMax+1))
	if err != nil {
		return nil, WithoutPath(err)
	}
	if int64(len(content)) > bytesMax {
		return nil, fmt.Errorf("is larger than %d bytes", bytesMax)
	}
	return content, nil
}

// WithoutPath takes operation and path off an error of the os package, for messages that name the
// path themselves.
func WithoutPath(err error) error {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
