package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// testSurroundings has the environment variable TOKEN and the files /secrets/key and /secrets/empty.
var testSurroundings = surroundings{
	lookupEnv: func(name string) (string, bool) {
		if name == "CREDENTIALS_DIRECTORY" {
			return "/secrets", true
		}
		return "from the environment", name == "TOKEN"
	},
	readFile: func(path string) ([]byte, error) {
		switch path {
		case "/secrets/key":
			return []byte("s3cret \"quoted\"\r\n"), nil
		case "/secrets/lines":
			return []byte("a\nb\n\n"), nil
		case "/secrets/token", "/secrets/open":
			return []byte("6b1f-token\n"), nil
		case "/secrets/empty":
			return []byte("\n"), nil
		case "/secrets/binary":
			return []byte("\xff\xfe"), nil
		}
		return nil, os.ErrNotExist
	},
	isOpen: func(path string) bool { return path == "/secrets/lines" || path == "/secrets/open" },
	readRoots: func(path string) ([]byte, error) {
		switch path {
		case "/etc/nano/roots.pem":
			return []byte(testRoot), nil
		case "/roots/text":
			return []byte("text"), nil
		}
		return nil, os.ErrNotExist
	},
}

func parseTest(t *testing.T, text string) *Config {
	t.Helper()
	c, err := parse("/etc/nano/nano.toml", []byte(text), testSurroundings)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEmptyFileGivesDefaults(t *testing.T) {
	got := parseTest(t, "")
	want := Default("/etc/nano")
	want.File = "/etc/nano/nano.toml"
	want.Inputs = []string{"/etc/nano/nano.toml"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Server.StateDir != "/etc/nano/.nano" {
		t.Errorf("state_dir: %q", got.Server.StateDir)
	}
}

const everyKey = `
[server]
listen = ["127.0.0.1:8080", "[::1]:0", ":80", "LocalHost:81", "unix:/run/../run/nano.sock", "systemd"]
loops = 3
state_dir = "state"
header_timeout = "1s"
idle_timeout = "1m30s"
drain_timeout = "0s"
max_header = "63KiB"
max_body = "1GiB"
max_connections = 20_000
log = "json"
access_log = true
versions = 7
max_bundle = "1MiB"

[isolates]
memory = "512MiB"
idle = "5m"
clock = "1ms"
wall = "20s"

[[app]]
name = "a-1"
main = "apps/a.js"
hosts = ["Example.COM", "*.example.com", "[2001:DB8:0::1]", "192.0.2.7", "under_score.test"]
path = "/api/"
isolation = "request"
warmup = "/books?page=1"
health = "/well?deep=1"
[app.vars]
TEXT = "<a> & \"b\""
NUMBER = 7
FRACTION = 0.5
YES = true
LIST = [1, "two", [3.5, false], { four = 4 }]
TABLE = { a = { "b c" = 1 } }
[[app.vars.ROWS]]
id = 1
[[app.vars.ROWS]]
id = 2
[app.secrets]
FILE = { file = "/secrets/key" }
LINES = { file = "../../secrets/lines" }
ENV = { env = "TOKEN" }
GIVEN = { credential = "token" }
[app.limits]
wall = "250ms"
max_body = "2MiB"
heap = "64MiB"
cpu = "20ms"
concurrent_requests = 10

[[app]]
name = "b"
main = "/srv/b.mjs"
isolation = "app"
warmup = ""

[[app]]
name = "c"
main = "c.nano"
path = "/c"
`

func TestEveryKey(t *testing.T) {
	c := parseTest(t, everyKey)
	wantServer := Server{
		Listen:        []string{"127.0.0.1:8080", "[::1]:0", ":80", "localhost:81", "unix:/run/nano.sock", "systemd"},
		Loops:         3,
		StateDir:      "/etc/nano/state",
		HeaderTimeout: time.Second, IdleTimeout: 90 * time.Second, DrainTimeout: 0,
		MaxHeader: 63 << 10, MaxBody: 1 << 30, MaxConnections: 20000,
		Log: LogJSON, AccessLog: true, StaticCache: 64 << 20, Versions: 7, MaxBundle: 1 << 20,
	}
	if !reflect.DeepEqual(c.Server, wantServer) {
		t.Errorf("server\ngot  %+v\nwant %+v", c.Server, wantServer)
	}
	wantIsolates := Isolates{
		Memory: 512 << 20, Idle: 5 * time.Minute, Clock: time.Millisecond, Heap: 128 << 20, CPU: 50 * time.Millisecond, Wall: 20 * time.Second,
	}
	if c.Isolates != wantIsolates {
		t.Errorf("isolates\ngot  %+v\nwant %+v", c.Isolates, wantIsolates)
	}
	if len(c.Apps) != 3 || c.Apps[2].Main != "/etc/nano/c.nano" {
		t.Fatalf("apps: %+v", c.Apps)
	}
	a, b := c.Apps[0], c.Apps[1]
	wantHosts := []string{"example.com", "*.example.com", "[2001:db8::1]", "192.0.2.7", "under_score.test"}
	if a.Name != "a-1" || a.Main != "/etc/nano/apps/a.js" || a.Path != "/api/" || !reflect.DeepEqual(a.Hosts, wantHosts) {
		t.Errorf("first app: %+v", a)
	}
	if !a.IsolatePerRequest || a.Warmup != "/books?page=1" || a.Health != "/well?deep=1" || b.IsolatePerRequest || b.Warmup != "" {
		t.Errorf("isolation and warm-up: %+v, %+v", a, b)
	}
	if (a.Limits != Limits{64 << 20, 20 * time.Millisecond, 250 * time.Millisecond, 2 << 20, 10, 1000, 1 << 20, 1000}) {
		t.Errorf("limits of the first app: %+v", a.Limits)
	}
	if b.Main != "/srv/b.mjs" || b.Path != "/" || len(b.Hosts) != 0 {
		t.Errorf("second app: %+v", b)
	}
	if (b.Limits != Limits{128 << 20, 50 * time.Millisecond, 20 * time.Second, 1 << 30, 0, 1000, 1 << 20, 1000}) {
		t.Errorf("the second app must have the node's limits, has %+v", b.Limits)
	}
	if a.At.Line != 23 || a.MainAt != (Position{25, 8}) {
		t.Errorf("the first app stands at %v, its main at %v", a.At, a.MainAt)
	}
	const env = `{"ENV":"from the environment","FILE":"s3cret \"quoted\"","FRACTION":0.5,"GIVEN":"6b1f-token",` +
		`"LINES":"a\nb\n","LIST":[1,"two",[3.5,false],{"four":4}],"NUMBER":7,` +
		`"ROWS":[{"id":1},{"id":2}],"TABLE":{"a":{"b c":1}},"TEXT":"<a> & \"b\"","YES":true}`
	if got := string(a.EnvJSON()); got != env {
		t.Errorf("env\ngot  %s\nwant %s", got, env)
	}
	if got := string(b.EnvJSON()); got != "{}" {
		t.Errorf("env of an app without vars: %s", got)
	}
}

func TestSecretsStayHidden(t *testing.T) {
	c := parseTest(t, everyKey)
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "config", c, "secret", c.Apps[0].Secrets["FILE"])
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %q %x", c.Apps, c.Apps, c.Apps[0].Secrets, c.Apps[0].Secrets, c.Apps[0].Secrets, c.Apps[0].Secrets["FILE"]),
		logged.String(), string(encoded),
	} {
		for _, secret := range []string{"s3cret", "from the environment", fmt.Sprintf("%x", "s3cret")} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
}

// minimalApp is an [[app]] of three lines without a problem.
const minimalApp = "[[app]]\nname = \"a\"\nmain = \"a.js\"\n"

// problemTests has one document for each message, with its line and column.
var problemTests = []struct{ text, want string }{
	// Syntax.
	{"[server", `1:7: expected '.' or ']' to end table name, but got the end of the file instead`},
	{"a = ", `1:4: `},
	{"[server]\nloops = 1\nloops = 2\n", `3:1: Key 'server.loops' has already been defined.`},
	{"[server]\nlisten = [\"a\n", "2:13: "},
	{"\xff", `1:1: is not UTF-8 text; save the file as UTF-8`},
	{"a = 1\x00", `1:6: is not UTF-8 text`},
	// Keys.
	{"[server]\nlisen = []\n", `2:1: [server] lisen: unknown key; did you mean listen?`},
	{"[server]\n\"odd key\" = 1\n", `2:1: [server] "odd key": unknown key; known here: listen, loops,`},
	{"server.acess_log = true", `1:8: [server] acess_log: unknown key; did you mean access_log?`},
	{"[server]\ncpu = \"50ms\"", `2:1: [server] cpu: unknown key; it belongs to [isolates] or [app.limits]`},
	{"sever = {}", `1:1: sever: unknown key; did you mean server?`},
	{minimalApp + "mian = 1", `4:1: [[app]] mian: unknown key; did you mean main?`},
	{minimalApp + "limits = {\n wall = \"1s\",\n wal = 1 }", `6:2: [app.limits] wal: unknown key; did you mean wall?`},
	// Tables.
	{"server = 3", `1:10: [server]: must be a table, not a whole number; write a [server] table once`},
	{"[[server]]", `1:3: [server]: must be a table, not an array of tables`},
	{"[app]\nname = \"a\"", `1:2: [[app]]: must be an array of tables, not a table; begin each app with [[app]]`},
	{"[app.vars]\nA = 1", `1:2: [[app]]: must be an array of tables, not a table`},
	{"app = [1]", `1:8: [[app]]: must be a table, not a whole number; write [[app]]`},
	{minimalApp + "vars = [1]", `4:8: [app.vars]: must be a table, not an array`},
	// Types.
	{"[server]\nlisten = \"x\"", `2:10: [server] listen: must be an array of strings, not a string; write listen = ["127.0.0.1:8080"]`},
	{"[server]\nlisten = [\n  \"a:1\",\n  2 ]", `4:3: [server] listen: must be an array of strings, not a whole number`},
	{"[server]\nloops = \"x\"", `2:9: [server] loops: must be a whole number, not a string; write loops = 0`},
	{"[server]\nloops = 1.5", `2:9: [server] loops: must be a whole number, not a number with a fraction`},
	{"[server]\nloops = 2024-01-01", `2:9: [server] loops: must be a whole number, not a date or time`},
	{"[server]\naccess_log = 1", `2:14: [server] access_log: must be true or false, not a whole number; write access_log = false`},
	{"[server]\nlog = true", `2:7: [server] log: must be a string, not true or false`},
	{"[server]\nmax_header = 1024", `2:14: [server] max_header: must be a string with a size, not a whole number; write max_header = "32KiB"`},
	{"[server]\nidle_timeout = 10", `2:16: [server] idle_timeout: must be a string with a duration, not a whole number; write idle_timeout = "60s"`},
	// Values.
	{"[server]\nloops = -1", `2:9: [server] loops: is -1, out of its range; write a number from 0 to 56`},
	{"[server]\nloops = 57", `2:9: [server] loops: is 57, out of its range; write a number from 0 to 56`},
	{"[server]\nmax_connections = 4294967296", `out of its range`},
	{"[server]\nlisten = []", `2:10: [server] listen: is empty`},
	{"[server]\nlisten = [\"8080\"]", `2:11: [server] listen: "8080" is not an address; write host:port, "unix:/path" or "systemd"`},
	{"[server]\nlisten = [\"a:65536\"]", `has no port from 0 to 65535`},
	{"[server]\nlisten = [\"a b:1\"]", `"a b:1" is not an address`},
	{"[server]\nlisten = [\"unix:nano.sock\"]", `has no absolute path`},
	{"[server]\nlisten = [\"unix:/" + strings.Repeat("x", 107) + "\"]", `at most 107 bytes, this has 108`},
	{"[server]\nlisten = [\"a:1\", \"A:01\"]", `2:18: [server] listen: "a:1" is listed twice`},
	{"[server]\nlog = \"xml\"", `2:7: [server] log: is "xml"; write "text" or "json" or "journal"`},
	{"[server]\nstate_dir = \"\"", `state_dir: is empty`},
	{"[server]\nmax_body = \"10 MB\"", `2:12: [server] max_body: "10 MB" is not a size; write a whole number and a unit`},
	{"[server]\nmax_body = \"-1KiB\"", `is not a size`},
	{"[server]\nmax_body = \"1.5MiB\"", `is not a size`},
	{"[server]\nmax_body = \"9999999999TiB\"", `is too large`},
	{"[server]\nmax_header = \"64KiB\"", `"64KiB" is too large; the most is "65535B"`},
	{"[server]\nmax_header = \"1B\"", `"1B" is too small; the least is "256B"`},
	{"[server]\nidle_timeout = \"10\"", `"10" is not a duration; write one such as`},
	{"[server]\nidle_timeout = \"0s\"", `"0s" is too short; the least is "1ms"`},
	{"[server]\ndrain_timeout = \"-1s\"", `"-1s" is too short; the least is "0s"`},
	// Apps.
	{"[[app]]\nmain = \"a.js\"", `1:3: [[app]]: has no name`},
	{"[[app]]\nname = \"a\"", `1:3: [[app]]: has no main`},
	{"[[app]]\nname = \"A\"\nmain = \"a.js\"", `2:8: [[app]] name: "A" is not a name; write 1 to 63`},
	{"[[app]]\nname = \"\"\nmain = \"a.js\"", `2:8: [[app]] name: "" is not a name`},
	{"[[app]]\nname = \"" + strings.Repeat("a", 64) + "\"\nmain = \"a.js\"", `is not a name`},
	{"[[app]]\nname = \"a\"\nmain = \"a.py\"", `3:8: [[app]] main: "a.py" is not a file of JavaScript or TypeScript; name a .js, .mjs, .ts,`},
	{"[[app]]\nname = \"a\"\nmain = \"\"", `3:8: [[app]] main: "" is not a file of JavaScript or TypeScript`},
	{minimalApp + `path = "api"`, `4:8: [[app]] path: "api" does not begin with "/"; write "/api"`},
	{minimalApp + `path = "/a?b"`, `holds '?'`},
	{minimalApp + `path = "/a b"`, `holds ' '`},
	{minimalApp + `path = "/a/../b"`, `has a ".." segment`},
	{minimalApp + `isolation = "none"`, `4:13: [[app]] isolation: is "none"; write "app" or "request"`},
	{minimalApp + `isolation = true`, `4:13: [[app]] isolation: must be a string`},
	{minimalApp + `warmup = "books"`, `4:10: [[app]] warmup: "books" does not begin with "/"; write "/books"`},
	{minimalApp + `warmup = "/a b"`, `4:10: [[app]] warmup: "/a b" holds ' '`},
	{minimalApp + `warmup = "/#top"`, `holds '#'`},
	{minimalApp + "warmup = \"/a\\r\\nhost: b\"", `holds '\r'`},
	{minimalApp + `warmup = "/bücher"`, `percent-encoded`},
	{minimalApp + "[app.limits]\nconcurrent_requests = -1", `5:23: [app.limits] concurrent_requests: is -1, out of its range`},
	{minimalApp + "[app.limits]\nconcurrent_requests = \"10\"", `5:23: [app.limits] concurrent_requests: must be a whole number`},
	{"[isolates]\nmemory = \"1MiB\"", `2:10: [isolates] memory: "1MiB" is too small; the least is "16MiB"`},
	{"[isolates]\nmemory = \"2TiB\"", `2:10: [isolates] memory: "2TiB" is too large; the most is "1TiB"`},
	{"[isolates]\nmemory = 1024", `2:10: [isolates] memory: must be a string with a size, not a whole number; write memory = "1GiB"`},
	{"[isolates]\nidle = \"0s\"", `2:8: [isolates] idle: "0s" is too short; the least is "10ms"`},
	{"[isolates]\nidle = 60", `2:8: [isolates] idle: must be a string with a duration`},
	{minimalApp + `hosts = ["*"]`, `4:10: [[app]] hosts: "*" is not a host; leave hosts out`},
	{minimalApp + `hosts = ["a.*.b"]`, `has a * that is not its whole first label`},
	{minimalApp + `hosts = ["a:80"]`, `has a port`},
	{minimalApp + `hosts = ["a/b"]`, `the path has a key of its own`},
	{minimalApp + `hosts = ["http://a"]`, `"http://a" is not a host; write the name alone`},
	{minimalApp + `hosts = ["-a"]`, `is not a host`},
	{minimalApp + `hosts = ["a..b"]`, `is not a host`},
	{minimalApp + `hosts = ["a."]`, `is not a host`},
	{minimalApp + `hosts = [""]`, `"" is not a host`},
	{minimalApp + `hosts = ["bücher.example"]`, `other alphabets in their xn-- form`},
	{minimalApp + `hosts = ["::1"]`, `write "[::1]"`},
	{minimalApp + `hosts = ["[::1]:80"]`, `is not an IPv6 address`},
	{minimalApp + `hosts = ["[fe80::1%eth0]"]`, `is not an IPv6 address`},
	// Apps that share something.
	{minimalApp + minimalApp + "path = \"/b\"", `5:8: [[app]] name: "a" is the name of the app in line 2 too`},
	{minimalApp + "[[app]]\nname = \"b\"\nmain = \"b.js\"",
		`4:1: [[app]] "b": serves every other host, path /, which app "a" in line 1 serves already`},
	{minimalApp + "hosts = [\"x.y\"]\n[[app]]\nname = \"b\"\nmain = \"b.js\"\nhosts = [\n\"z\", \"X.Y\"]",
		`9:6: [[app]] "b": serves x.y/, which app "a" in line 4 serves already`},
	{minimalApp + `hosts = ["x", "x"]`, `4:15: [[app]] "a": serves x/, which app "a" in line 4`},
	{minimalApp + "path = \"/a\"\n[[app]]\nname = \"b\"\nmain = \"b.js\"\npath = \"/a/\"",
		`8:8: [[app]] "b": serves every other host, path /a/, which app "a" in line 4 serves already`},
	{"[server]\nmax_body = \"0B\"", `"0B" is too small; the least is "1B"`},
	// Variables and secrets.
	{minimalApp + "[app.vars]\nA = 1979-05-27", `5:5: [app.vars] A: must be a string, number, boolean, table or array, not a date`},
	{minimalApp + "[app.vars]\nA = [1, [07:32:00]]", `5:10: [app.vars] A: must be`},
	{minimalApp + "[app.vars.T]\n\"a b\" = nan", `5:9: [app.vars] T."a b": is not a finite number; write it as a string`},
	{minimalApp + "[app.vars]\nA = 9007199254740993", `JavaScript numbers do not hold 9007199254740993 exactly`},
	{minimalApp + "[app.vars]\n\"\" = 1", `a name is empty`},
	{minimalApp + "[app.secrets]\nA = \"plain\"", `5:5: [app.secrets] A: must be a table, not a string; write A = { file = "…" } or { env = "…" }`},
	{minimalApp + "[app.secrets]\nA = {}", `5:5: [app.secrets] A: names no source`},
	{minimalApp + "[app.secrets]\nA = { file = 1 }", `5:14: [app.secrets] A file: must be a string`},
	{minimalApp + "[app.secrets]\nA = { flie = \"x\" }", `5:7: [app.secrets] A flie: unknown key; did you mean file?`},
	{minimalApp + "[app.secrets]\nA = { file = \"x\", env = \"TOKEN\" }", `has more than one of file, env and credential`},
	{minimalApp + "[app.secrets]\nA = { credential = \"token\", env = \"TOKEN\" }", `has more than one of file`},
	{minimalApp + "[app.secrets]\nA = { credential = \"../token\" }", `5:5: [app.secrets] A: credential "../token" is not the name of one`},
	{minimalApp + "[app.secrets]\nA = { credential = \"absent\" }", `5:5: [app.secrets] A: /secrets/absent: file does not exist`},
	{minimalApp + "[app.secrets]\nA = { file = \"/no\" }", `5:5: [app.secrets] A: /no: file does not exist`},
	{minimalApp + "[app.secrets]\nA = { file = \"/secrets/empty\" }", `is empty`},
	{minimalApp + "[app.secrets]\nA = { file = \"/secrets/binary\" }", `is not UTF-8 text`},
	{minimalApp + "[app.secrets]\nA = { env = \"NO\" }", `environment variable NO is not set`},
	{minimalApp + "[app.vars]\nA = 1\n[app.secrets]\nA = { env = \"TOKEN\" }", `7:1: [app.secrets] A: is also a variable in line 5`},
	{minimalApp + "[app.services]\nA = 1", `5:5: [app.services] A: must be a string`},
	{minimalApp + "[app.services]\nA = \"aa\"", `5:5: [app.services] A: there is no app "aa"; did you mean a?`},
	{minimalApp + "[app.services]\nA = \"zzzzzz\"", `5:5: [app.services] A: there is no app "zzzzzz"; name an [[app]] of this file`},
	{minimalApp + "[app.services]\n\"\" = \"a\"", `5:1: [app.services]: a name is empty`},
	{minimalApp + "[app.vars]\nA = 1\n[app.services]\nA = \"a\"", `7:1: [app.services] A: is also a variable in line 5`},
	{minimalApp + "[app.secrets]\nA = { env = \"TOKEN\" }\n[app.services]\nA = \"a\"", `7:1: [app.services] A: is also a secret in line 5`},
	// The address of control.
	{"[admin]\nlisten = \"systemd\"", `2:10: [admin] listen: the sockets of systemd are for [server]; write host:port`},
	{"[admin]\nlisten = \"9090\"", `2:10: [admin] listen: "9090" is not an address`},
	{"[admin]\nlisten = \"127.0.0.1:8080\"", `2:10: [admin] listen: "127.0.0.1:8080" is in [server] listen as well`},
	{"[admin]\nlisten = \":9090\"", `2:10: [admin] listen: ":9090" can be reached from elsewhere, and there is no token; add token_file`},
	{"[admin]\nlisten = \"10.0.0.1:9090\"\ntoken_file = \"\"", `2:10: [admin] listen: "10.0.0.1:9090" can be reached`},
	{"[admin]\nlisten = \":9090\"\ntoken_file = \"/no\"", `3:14: [admin] token_file: /no: file does not exist; put the token there`},
	{"[admin]\ntoken_file = \"/secrets/empty\"", `2:14: [admin] token_file: /secrets/empty: is empty; make one`},
	{"[admin]\ntoken_file = \"/secrets/key\"", `2:14: [admin] token_file: /secrets/key: holds blanks`},
	{"[admin]\ntoken_file = \"/secrets/binary\"", `characters outside ASCII`},
	{"[tracing]", `1:2: [tracing] endpoint: is missing; add endpoint = "http://127.0.0.1:4318"`},
	{"[tracing]\nendpoint = \"grpc://h\"", `2:12: [tracing] endpoint: has the scheme "grpc"; write one such as`},
	{"[tracing]\nendpoint = \"http://h/v1/traces/\"", `has the path of traces already; remove /v1/traces`},
	{"[tracing]\nendpoint = \"http://u:p@h\"", `2:12: [tracing] endpoint: has a user name`},
	{"[tracing]\nsample = 1.5", `2:10: [tracing] sample: is 1.5, out of its range; write a number from 0 to 1`},
	{"[tracing]\nsample = nan", `2:10: [tracing] sample: is NaN, out of its range`},
	{"[tracing]\nsample = \"1\"", `2:10: [tracing] sample: must be a number, not a string`},
	{"[tracing.headers]\n\"a b\" = \"x\"", `is not the name of a header`},
	{"[tracing.headers]\na = 1", `2:5: [tracing.headers] a: must be a string or a table, not a whole number`},
	{"[tracing.headers]\na = \"x\\ny\"", `holds a line end`},
	{"[tracing.headers]\na = { file = \"/no\" }", `2:5: [tracing.headers] a: /no: file does not exist`},
	{"[admin]\nmetrics_apps = 100001", `2:16: [admin] metrics_apps: is 100001, out of its range`},
	{"[admin]\ntoken = \"x\"", `2:1: [admin] token: unknown key; `},
	{"[admin]\ntoken_file = \"/secrets/token\"\n" + minimalApp + "static = \"/secrets\"", `6:10: [[app]] static: holds the secret token`},
	{minimalApp + "[[app.cron]]\nschedule = \"* * * *\"", `5:12: [[app.cron]] schedule: has 4 fields`},
	{minimalApp + "[[app.cron]]\nschedule = \"* * * * *\"\n[[app.cron]]\nschedule = \"* * * * 0\"", `7:12: [[app.cron]] schedule: weekday "0": is not from 1 to 7: Sunday is 1, or SUN`},
	{minimalApp + "[[app.cron]]\nschedule = \"* * * * *\"\n[[app.cron]]\nschedule = \"* * * * *\"", `7:12: [[app.cron]] schedule: "* * * * *" is listed twice`},
	{minimalApp + "[[app.cron]]\nschedule = 5", `5:12: [[app.cron]] schedule: must be a string`},
	{minimalApp + "[[app.cron]]", `4:7: [[app.cron]]: has no schedule`},
	{minimalApp + "[[app.cron]]\nschedule = \"* * * * *\"\nzone = \"CET\"", `6:1: [[app.cron]] zone: `},
	{minimalApp + "[app.cron]\nschedule = \"* * * * *\"", `4:6: [[app.cron]]: must be an array of tables, not a table; write [[app.cron]]`},
	{minimalApp + "cron = [1]", `4:9: [[app.cron]]: must be a table`},
	{minimalApp + `static = "."`, `4:10: [[app]] static: holds main, which everybody could read then`},
	{minimalApp + `static = "/"`, `4:10: [[app]] static: holds main, which everybody could read then`},
	{minimalApp + "static = \"/secrets\"\n[app.secrets]\nA = { file = \"/secrets/key\" }", `4:10: [[app]] static: holds the secret key, which everybody could read then`},
	{minimalApp + "static = \"b\"\n[[app]]\nname = \"b\"\nmain = \"b/b.js\"\npath = \"/b\"", `4:10: [[app]] static: holds the source of app b, which`},
	{"[[app]]\nname = \"a\"\nmain = \"/elsewhere/a.js\"\nstatic = \".\"", `4:10: [[app]] static: holds this file, which`},
	{minimalApp + `static = 1`, `4:10: [[app]] static: must be a string`},
	{minimalApp + "static = \"public\"\n[app.vars]\nASSETS = 1", `6:1: [app.vars] ASSETS: is what an app with static files has there`},
	{minimalApp + "static = \"public\"\n[app.services]\nASSETS = \"a\"", `6:1: [app.services] ASSETS: is what an app with static files has there`},
	{minimalApp + "[app.egress]\nallow = [\"*\", \"10.0.0.1/8\"]", `5:15: [app.egress] allow: "10.0.0.1/8": bits are set after the first 8: write 10.0.0.0/8`},
	{minimalApp + "[app.egress]\ndeny = [\"127.1\"]", `5:9: [app.egress] deny: "127.1": an IPv4 address is written with four decimal numbers`},
	{minimalApp + "[app.egress]\nallow = \"*\"", `5:9: [app.egress] allow: must be an array of strings`},
	{minimalApp + "[app.egress]\nalow = []", `5:1: [app.egress] alow: unknown key; did you mean allow?`},
	{minimalApp + "[app.fetch]\nroots = \"/roots/absent\"", `5:9: [app.fetch] roots: /roots/absent: file does not exist`},
	{minimalApp + "[app.fetch]\nroots = \"/roots/text\"", `5:9: [app.fetch] roots: /roots/text: holds no certificate in PEM form`},
	{minimalApp + "[app.fetch]\nproxy = \"http://user:hunter2@a b:1\"", `5:9: [app.fetch] proxy: is not a URL; write "http://host:port"`},
	{minimalApp + "[app.fetch]\nproxy = \"socks5://a:1\"", `5:9: [app.fetch] proxy: has the scheme "socks5"; write`},
	{minimalApp + "[app.fetch]\nproxy = \"http://:3128\"", `5:9: [app.fetch] proxy: names no host; write`},
	{minimalApp + "[app.fetch]\nproxy = \"http://proxy\"", `5:9: [app.fetch] proxy: names no port; write`},
	{minimalApp + "[app.fetch]\nproxy = \"http://proxy:70000\"", `5:9: [app.fetch] proxy: names no port; write`},
	{minimalApp + "[app.fetch]\nproxy = \"http://proxy:1/x\"", `5:9: [app.fetch] proxy: has more than a host and a port; write`},
	{minimalApp + "[app.limits]\ncpu = \"1ms\"", `5:7: [app.limits] cpu: `},
	{minimalApp + "[app.limits]\nheap = \"1MiB\"", `5:8: [app.limits] heap: `},
	{minimalApp + "[app.limits]\nsubrequests = -1", `5:15: [app.limits] subrequests: is -1, out of its range; write a number from 0 to 2147483647`},
	{minimalApp + "[app.limits]\nsubrequests = \"5\"", `5:15: [app.limits] subrequests: must be a whole number`},
	{"[[app]]\nname = \"a\"\nmain = \"a.py\"", `3:8: [[app]] main: "a.py" is not a file of JavaScript or TypeScript`},
}

func TestProblems(t *testing.T) {
	for _, test := range problemTests {
		_, err := parse("nano.toml", []byte(test.text), testSurroundings)
		var problems Problems
		if !errors.As(err, &problems) {
			t.Errorf("%q: got %v, want a problem with %s", test.text, err, test.want)
			continue
		}
		if len(problems) != 1 || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "nano.toml:") {
			t.Errorf("%q:\ngot  %v\nwant one problem with nano.toml:%s", test.text, err, test.want)
		}
	}
}

func TestAllProblemsInOrderOfTheFile(t *testing.T) {
	_, err := parse("n.toml", []byte(`
[[app]]
name = "A"
zzz = 1
aaa = 2
[server]
loops = "many"
[isolates]
heap = "1MiB"
wall = "soon"
`), testSurroundings)
	var at []int
	for _, problem := range err.(Problems) {
		at = append(at, problem.At.Line)
	}
	if want := []int{2, 3, 4, 5, 7, 9, 10}; !reflect.DeepEqual(at, want) {
		t.Errorf("lines %v, want %v:\n%v", at, want, err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "nano.toml")
	if _, err := Load(file); err == nil || err.Error() != file+": no such file or directory" {
		t.Errorf("absent file: %v", err)
	}
	os.WriteFile(filepath.Join(dir, "key"), []byte("from a file\n"), 0o600)
	os.WriteFile(filepath.Join(dir, "large"), make([]byte, secretBytesMax+1), 0o600)
	os.WriteFile(file, []byte("[[app]]\nname = \"a\"\nmain = \"a.js\"\n[app.secrets]\nKEY = { file = \"key\" }\n"), 0o600)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Apps[0].EnvJSON()); got != `{"KEY":"from a file"}` {
		t.Errorf("env %s", got)
	}
	if c.Apps[0].Main != filepath.Join(dir, "a.js") {
		t.Errorf("main %s", c.Apps[0].Main)
	}
	for path, want := range map[string]string{"large": "is larger than", "none": "no such file", ".": "is a directory"} {
		if _, err := readSecretFile(filepath.Join(dir, path)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("secret %s: %v", path, err)
		}
	}
}

func TestSingle(t *testing.T) {
	c, err := Single("some/My App.mjs", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	working, _ := os.Getwd()
	app := c.Apps[0]
	if app.Name != "my-app" || app.Main != filepath.Join(working, "some/My App.mjs") || app.Path != "/" {
		t.Errorf("app %+v", app)
	}
	if !reflect.DeepEqual(c.Server.Listen, []string{"127.0.0.1:0"}) || !filepath.IsAbs(c.Server.StateDir) {
		t.Errorf("server %+v", c.Server)
	}
	if app.Limits.Wall != 30*time.Second || string(app.EnvJSON()) != "{}" {
		t.Errorf("limits %+v, env %s", app.Limits, app.EnvJSON())
	}
	for _, test := range []struct{ main, listen, want string }{
		{"a.py", "127.0.0.1:0", "is not a file of JavaScript or TypeScript"},
		{"a.txt", "127.0.0.1:0", `"a.txt" is not a file of JavaScript or TypeScript; name a .js, .mjs, .ts,`},
		{"a.js", "8080", `--listen: "8080" is not an address; write host:port`},
	} {
		if _, err := Single(test.main, test.listen); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v", test, err)
		}
	}
	for file, want := range map[string]string{
		"/x/hello.js": "hello", "/x/Ünï.js": "n", "/x/---.js": "app", "/x/a.b.js": "a-b",
		"/" + strings.Repeat("x", 80) + ".js": strings.Repeat("x", 63),
	} {
		if got := nameOfFile(file); got != want {
			t.Errorf("nameOfFile(%q) = %q, want %q", file, got, want)
		}
		if what, _ := checkName(nameOfFile(file)); what != "" {
			t.Error(what)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0B": 0, "1B": 1, "64KiB": 64 << 10, "64 KiB": 64 << 10, "3MiB": 3 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40,
	} {
		if got, what, _ := parseSize(text); got != want || what != "" {
			t.Errorf("%q is %d %s", text, got, what)
		}
	}
	for _, text := range []string{"", "B", "KiB", "1", "1KB", "1kib", "+1B", "1  B", " 1B", "0x1B", "1_000B", "9223372036854775808B", "8388608TiB"} {
		if got, what, cure := parseSize(text); what == "" || cure == "" {
			t.Errorf("%q is %d", text, got)
		}
	}
	for bytes, want := range map[int64]string{0: "0B", 1: "1B", 1024: "1KiB", 1025: "1025B", 3 << 29: "1536MiB"} {
		if got := formatSize(bytes); got != want {
			t.Errorf("formatSize(%d) = %s, want %s", bytes, got, want)
		}
	}
}

func TestFetch(t *testing.T) {
	c := parseTest(t, minimalApp+"[app.fetch]\nroots = \"roots.pem\"\nproxy = \"http://us%65r:p%40ss@[::1]:3128/\"\n")
	fetch := c.Apps[0].Fetch
	if string(fetch.Roots) != testRoot {
		t.Errorf("roots %q", fetch.Roots)
	}
	if want := (Proxy{"::1", 3128, "Basic dXNlcjpwQHNz"}); *fetch.Proxy != want {
		t.Errorf("proxy %s:%d %q", fetch.Proxy.Host, fetch.Proxy.Port, string(fetch.Proxy.Authorization))
	}
	if c := parseTest(t, minimalApp+"[app.fetch]\nproxy = \"http://proxy.internal:80\"\n"); *c.Apps[0].Fetch.Proxy != (Proxy{"proxy.internal", 80, ""}) {
		t.Errorf("proxy %v", c.Apps[0].Fetch.Proxy)
	}
}

func TestEgress(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "1.1.1.1:80",
		"[app.egress]\nallow = []":           "",
		"[app.egress]\ndeny = [\"1.1.1.1\"]": "8.8.8.8:80",
		"[app.egress]\nallow = [\"127.0.0.1:9000\", \"*\"]\ndeny = [\"*:80\"]": "127.0.0.1:9000",
	} {
		c, err := parse("nano.toml", []byte(minimalApp+text), testSurroundings)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		for _, address := range []string{"1.1.1.1:80", "8.8.8.8:80", "127.0.0.1:9000", "127.0.0.1:9001"} {
			isAllowed := c.Apps[0].Egress.Allows("", netip.MustParseAddrPort(address), false)
			isWanted := address == want || text == "" && address == "8.8.8.8:80"
			if isAllowed != isWanted {
				t.Errorf("%q: %s is allowed: %v", text, address, isAllowed)
			}
		}
	}
}

// TestAdmin: absent it is off, and what it is without its keys; the token is nobody else's to see.
func TestAdmin(t *testing.T) {
	for text, want := range map[string]Admin{
		"":        {"", "", "", 1000},
		"[admin]": {"127.0.0.1:9090", "", "", 1000},
		"[admin]\nlisten = \"[::1]:0\"\nmetrics_apps = 0\ntoken_file = \"\"":                       {"[::1]:0", "", "", 0},
		"[admin]\nlisten = \"LOCALHOST:1\"":                                                        {"localhost:1", "", "", 1000},
		"[admin]\nlisten = \"unix:/run/x.sock\"":                                                   {"unix:/run/x.sock", "", "", 1000},
		"[admin]\nlisten = \":9090\"\ntoken_file = \"../../secrets/token\"\nmetrics_apps = 100000": {":9090", "/secrets/token", "6b1f-token", 100000},
	} {
		c := parseTest(t, text)
		if c.Admin != want || len(c.Warnings) != 0 {
			t.Errorf("%q: got %+v, warnings %v", text, c.Admin, c.Warnings)
		}
	}
	c := parseTest(t, "[admin]\ntoken_file = \"/secrets/open\"")
	if c.Warnings == nil || c.Warnings.Error() != "/etc/nano/nano.toml:2:14: [admin] token_file: /secrets/open: every user of this machine may read it; chmod o-r it" {
		t.Errorf("warnings %v", c.Warnings)
	}
	if text := fmt.Sprintf("%+v", c.Admin); strings.Contains(text, "6b1f") {
		t.Error(text)
	}
}

// TestNoCredentials: outside of a service there are none.
func TestNoCredentials(t *testing.T) {
	around := testSurroundings
	around.lookupEnv = func(string) (string, bool) { return "", false }
	_, err := parse("nano.toml", []byte(minimalApp+"[app.secrets]\nA = { credential = \"key\" }"), around)
	if err == nil || !strings.Contains(err.Error(), "5:5: [app.secrets] A: there are no credentials, so none named key; add LoadCredential=key:… to the unit") {
		t.Error(err)
	}
}

// TestInspection: a command that does not serve cannot see what only the service may read, and says so.
func TestInspection(t *testing.T) {
	around := testSurroundings
	around.isInspection = true
	text := []byte(minimalApp + "[app.secrets]\nA = { credential = \"key\" }")
	c, err := parse("nano.toml", text, around)
	if err != nil || c.Apps[0].Secrets["A"] != `s3cret "quoted"` || len(c.Warnings) != 0 {
		t.Errorf("within the service: %v, %v", c, err)
	}
	around.lookupEnv = func(string) (string, bool) { return "", false }
	c, err = parse("nano.toml", text, around)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Apps[0].Secrets["A"]; !ok {
		t.Error("the secret has no name")
	}
	if got := c.Warnings.Error(); got != "nano.toml:5:5: [app.secrets] A: credential key was not looked at; only the service can read it" {
		t.Error(got)
	}
	if _, err = parse("nano.toml", []byte(minimalApp+"[app.secrets]\nA = { credential = \"../key\" }"), around); err == nil {
		t.Error("took the name ../key")
	}
	_, err = parse("nano.toml", []byte(minimalApp+"[app.secrets]\nA = { credential = \"key\", env = \"KEY\" }"), around)
	if err == nil || !strings.Contains(err.Error(), "has more than one of file, env and credential") {
		t.Error(err)
	}
}

// TestStateDir: the node is found whatever else the file says, and whether or not that can be read.
func TestStateDir(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "nano.toml")
	for text, want := range map[string]string{
		"":                                   filepath.Join(dir, ".nano"),
		"[server]\nlisten = [\"a:1\"]":       filepath.Join(dir, ".nano"),
		"[server]\nstate_dir = \"state\"":    filepath.Join(dir, "state"),
		"[server]\nstate_dir = \"/s/../t/\"": "/t",
		"nonsense = 1\nserver.state_dir = \"/t\"\n[[app]]\n[app.secrets]\nA = { credential = \"b\" }": "/t",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := StateDir(file); got != want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	if err := os.WriteFile(file, []byte("[server"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := StateDir(file); err == nil || !strings.Contains(err.Error(), file+":1:") {
		t.Errorf("broken: %v", err)
	}
	if _, err := StateDir(filepath.Join(dir, "absent.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

// TestReadableByAll looks at real files.
func TestReadableByAll(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true, 0o604: true} {
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
		if isReadableByAll(file) != want {
			t.Errorf("mode %o", mode)
		}
	}
	if isReadableByAll(file + "-absent") {
		t.Error("a file that is not there")
	}
}

// TestServices: an app may call any app of the file, itself included, those that come later, too.
func TestServices(t *testing.T) {
	c := parseTest(t, "[[app]]\nname = \"a\"\nmain = \"a.js\"\n[app.services]\nOTHER = \"b\"\nME = \"a\"\n"+
		"[[app]]\nname = \"b\"\nmain = \"b.js\"\npath = \"/b\"")
	if got := c.Apps[0].BindingsJSON(); got != `{"services":{"ME":"a","OTHER":"b"}}` {
		t.Errorf("got %s", got)
	}
	if got := c.Apps[1].BindingsJSON(); got != "" {
		t.Errorf("got %s for an app without services", got)
	}
}

// TestWebSocketMessage: the limit of messages, and its bounds.
func TestWebSocketMessage(t *testing.T) {
	for text, want := range map[string]int64{"": 1 << 20, `websocket_message = "16KiB"`: 16 << 10, `websocket_message = "128MiB"`: 128 << 20} {
		if got := parseTest(t, minimalApp+"[app.limits]\n"+text).Apps[0].Limits.WebSocketMessage; got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

// TestSubrequests: the runtime is told of a limit that is not its own.
func TestSubrequests(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "",
		"subrequests = 1000": "",
		"subrequests = 0":    `{"subrequests":0}`,
		"subrequests = 50":   `{"subrequests":50}`,
	} {
		c := parseTest(t, minimalApp+"[app.limits]\n"+text)
		if got := c.Apps[0].BindingsJSON(); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// TestClock: the same for the steps of the clock, which are never finer than the file says.
func TestClock(t *testing.T) {
	for text, want := range map[string]string{
		"":                `{"subrequests":1}`,
		`clock = "100us"`: `{"subrequests":1}`,
		`clock = "1ms"`:   `{"subrequests":1,"clock":1000}`,
		`clock = "1.5us"`: `{"subrequests":1,"clock":2}`,
	} {
		c := parseTest(t, "[isolates]\n"+text+"\n"+minimalApp+"[app.limits]\nsubrequests = 1")
		if got := c.Apps[0].BindingsJSON(); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// testRoot is the certificate of an authority.
const testRoot = `-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUanQF8h2PDtq7FrSAsnSCb916OlswCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjExNTU4MDRaGA8yMTI2MTAyODE1NTgw
NFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABB/P
NV+yyAo0wUQ4XG40Ygbe9SbjnHeawdyXlF7mN9uOTVnB7u7vz4L1AA39RAQNlyqE
/Dmf49HQkNFGZE5QJ0ujUzBRMB0GA1UdDgQWBBSigE6ASTCfVKUHdxmNHqDOI6vn
pzAfBgNVHSMEGDAWgBSigE6ASTCfVKUHdxmNHqDOI6vnpzAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCICZMEruHSK0cQLXEFVfal80oYbiHTQG9kxrt
KnMolnZTAiEA0jK3cPYLImXgsa00+lS+eNa/RwPuJyEcFlGkxPSCmJ4=
-----END CERTIFICATE-----
`

// TestTracing: absent it is off; headers may be secrets, which are nobody else's to see.
func TestTracing(t *testing.T) {
	if c := parseTest(t, ""); c.Tracing.Endpoint != "" || c.Tracing.Sample != 0.01 || c.Tracing.Service != "nano" {
		t.Errorf("%+v", c.Tracing)
	}
	c := parseTest(t, "[tracing]\nendpoint = \"https://h:4318/x/\"\nsample = 1\nservice_name = \"shop\"\n[tracing.headers]\nx-a = \"b\"\nauthorization = { file = \"/secrets/token\" }")
	want := Tracing{"https://h:4318/x", 1, "shop", map[string]Secret{"X-A": "b", "Authorization": "6b1f-token"}}
	if !reflect.DeepEqual(c.Tracing, want) || strings.Contains(fmt.Sprintf("%+v", c.Tracing), "6b1f") {
		t.Errorf("%+v", c.Tracing)
	}
}

// TestEmptyFile: a file that is just being written is not taken for one without apps, which a comment makes.
func TestEmptyFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nano.toml")
	for text, want := range map[string]string{"": file + ":1:1: is empty", " \n\t\n": file + ":1:1: is empty", "[server]\n": "", "# no app yet\n": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(file)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
