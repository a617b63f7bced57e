package main

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// TestCommandLine has the exit code and the beginning of both outputs of command lines that start
// nothing.
func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args             string
		exit             int
		out, err         string // beginnings; "" is nothing at all
		errLines         int
		alsoInOut, notIn string
	}{
		{args: "", exit: 2, err: "NANO serves", errLines: -1},
		{args: "-h", out: "NANO serves", alsoInOut: "nano build FILE -o app.nano"},
		{args: "help", out: "NANO serves"},
		{args: "srve", exit: 2, err: `nano: unknown command "srve": the commands are serve, run, dev, check, build, apps, logs, top, reload, upgrade, types, completion, version`, errLines: 1},
		{args: "build", exit: 2, err: "nano: build: no FILE named", errLines: 1},
		{args: "build x.js", exit: 2, err: "nano: build: no -o app.nano named", errLines: 1},
		{args: "build x.js -o x.js", exit: 2, err: "nano: build: -o x.js: the file must end in .nano", errLines: 1},
		{args: "build x.js -o x.nano -warmup x", exit: 2, err: `nano: build: -warmup: "x" does not begin with "/"`, errLines: 1},
		{args: "build none.js -o x.nano", exit: 1, err: "nano: none.js: no such file or directory", errLines: 1},
		{args: "build main.go -o x.nano", exit: 1, err: `nano: "main.go" is not a file of JavaScript or TypeScript`, errLines: 1},
		{args: "build -h", out: "Usage: nano build FILE -o app.nano\n", alsoInOut: "-warmup path"},
		{args: "builder", exit: 2, err: "nano: a node starts this command by itself", errLines: 1},
		{args: "dev a b", exit: 2, err: `nano: dev: "b" is one argument too many`, errLines: 1},
		{args: "dev a.js -c nano.toml", exit: 2, err: "nano: dev: FILE and -c exclude each other", errLines: 1},
		{args: "serve -h", out: "Usage: nano serve [-c nano.toml]\n", alsoInOut: "SIGTERM"},
		{args: "run -h", out: "Usage: nano run FILE [--listen 127.0.0.1:8080]\n", alsoInOut: "-listen address"},
		{args: "check --help", out: "Usage: nano check [-c nano.toml]\n"},
		{args: "version -h", out: "Usage: nano version\n"},
		{args: "serve -x", exit: 2, err: "nano: serve: flag provided but not defined: -x: see `nano serve -h`", errLines: 1},
		{args: "serve -c", exit: 2, err: "nano: serve: flag needs an argument: -c: see", errLines: 1},
		{args: "serve nano.toml", exit: 2, err: `nano: serve: "nano.toml" is one argument too many: see`, errLines: 1},
		{args: "run", exit: 2, err: "nano: run: no FILE named: see `nano run -h`", errLines: 1},
		{args: "run a.js b.js", exit: 2, err: `nano: run: "b.js" is one argument too many`, errLines: 1},
		{args: "run none.js", exit: 1, err: "nano: none.js: no such file or directory", errLines: 1},
		{args: "run main.go", exit: 1, err: `nano: "main.go" is not a file of JavaScript or TypeScript`, errLines: 1},
		{args: "run ../../examples/hello.js --listen 80", exit: 1, err: `nano: --listen: "80" is not an address`, errLines: 1},
		{args: "serve -c none.toml", exit: 1, err: "nano: none.toml: no such file or directory", errLines: 1},
	} {
		var out, stderr bytes.Buffer
		exit := execute(&streams{out: &out, err: &stderr}, strings.Fields(test.args))
		if exit != test.exit {
			t.Errorf("nano %s: exit code %d, want %d", test.args, exit, test.exit)
		}
		for _, stream := range []struct{ name, got, want string }{{"stdout", out.String(), test.out}, {"stderr", stderr.String(), test.err}} {
			if !strings.HasPrefix(stream.got, stream.want) || stream.want == "" && stream.got != "" {
				t.Errorf("nano %s: %s is %q, want %q", test.args, stream.name, stream.got, stream.want)
			}
		}
		if lines := strings.Count(stderr.String(), "\n"); test.errLines >= 0 && lines != test.errLines {
			t.Errorf("nano %s: %d lines on stderr: %s", test.args, lines, stderr.String())
		}
		if !strings.Contains(out.String(), test.alsoInOut) {
			t.Errorf("nano %s: no %q in %s", test.args, test.alsoInOut, out.String())
		}
	}
}

func TestParseFlagsInAnyOrder(t *testing.T) {
	for _, test := range []struct {
		args   string
		listen string
		files  []string
	}{
		{"a.js", "default", []string{"a.js"}},
		{"a.js --listen x", "x", []string{"a.js"}},
		{"-listen x a.js", "x", []string{"a.js"}},
		{"a.js -listen=x", "x", []string{"a.js"}},
		{"--listen x -- -a.js", "x", []string{"-a.js"}},
		{"-- --listen", "default", []string{"--listen"}},
	} {
		flags := newFlags(&streams{out: io.Discard, err: io.Discard}, "run", "")
		listen := flags.String("listen", "default", "")
		files, err := parseFlags(flags, strings.Fields(test.args), "FILE")
		if err != nil || *listen != test.listen || !reflect.DeepEqual(files, test.files) {
			t.Errorf("%q: listen %q, files %q, %v", test.args, *listen, files, err)
		}
	}
}

func TestVersion(t *testing.T) {
	exit, out, stderr := runNano(t, "version")
	if exit != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", exit, stderr)
	}
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if want := []string{"NANO     0.", "V8       13.", "Go       1.", "kernel   Linux ", "io_uring multishot"}[i]; !strings.HasPrefix(line, want) {
			t.Errorf("line %q, want %q", line, want)
		}
	}
}

// TestErrorsOnTerminals: what an app has a say in moves no cursor and forges no line.
func TestErrorsOnTerminals(t *testing.T) {
	var out bytes.Buffer
	printError(&out, errors.New("a: app.js:1:1: Error: \x1b[2Jboo\u202e\r\nsecond"))
	if want := "nano: a: app.js:1:1: Error: \\x1b[2Jboo\\u202e\\x0d\nnano: second\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
