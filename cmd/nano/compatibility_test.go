package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var updateCompatibility = flag.Bool("update", false, "write docs/compatibility.md from what the binary has")

// absent says why names of the lists are not there.
var absent = map[string]string{
	"Body":                         "the Fetch standard has a mixin in its place, whose members Request and Response have",
	"Buffer":                       "of Node.js: Uint8Array, TextEncoder and atob do without it",
	"process":                      "of Node.js: variables are in `env`",
	"global":                       "of Node.js: globalThis",
	"TailEvent":                    "an app does not get the log of other apps: logs are the operator's",
	"TraceEvent":                   "an app does not get the log of other apps: logs are the operator's",
	"WebSocketRequestResponsePair": "of Durable Objects, which there are none of",
}

// shape is what testdata/introspect.js tells of a name.
type shape struct {
	Kind    string   `json:"kind"`
	Parent  string   `json:"parent"`
	Members []string `json:"members"`
	Statics []string `json:"statics"`
}

// surface is all that it tells; a name that is not there has a nil shape.
type surface struct {
	Found  map[string]*shape `json:"found"`
	Others map[string]*shape `json:"others"`
}

// listedNames reads a list of testdata.
func listedNames(t *testing.T, file string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(content))
}

// TestCompatibility holds docs/compatibility.md to what the binary has, and every name of the lists to be there or
// to have a reason.
func TestCompatibility(t *testing.T) {
	ecma, workers := listedNames(t, "globals-ecma429.txt"), listedNames(t, "globals-workers.txt")
	p := startNano(t, 1, "run", "cmd/nano/testdata/introspect.js", "--listen", "127.0.0.1:0")
	answer := p.ask("POST", "/", "", strings.Join(append(slices.Clone(ecma), workers...), "\n"))
	var is surface
	if err := json.Unmarshal([]byte(answer.body), &is); err != nil {
		t.Fatalf("%v: status %d: %s", err, answer.status, answer.body)
	}
	for name := range is.Found {
		switch reason := absent[name]; {
		case is.Found[name] == nil && reason == "":
			t.Errorf("%s is absent, and nothing says why", name)
		case is.Found[name] != nil && reason != "":
			t.Errorf("%s is there, and a reason says why not", name)
		}
	}
	if t.Failed() && !*updateCompatibility {
		return
	}
	page := filepath.Join(repository(t), "docs", "compatibility.md")
	made := compatibilityPage(is, ecma, workers)
	if *updateCompatibility {
		if err := os.WriteFile(page, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != made {
		t.Error("docs/compatibility.md is not what this binary has: make compat")
	}
}

// compatibilityPage writes what there is of the lists, and beyond them.
func compatibilityPage(is surface, ecma, workers []string) string {
	var page strings.Builder
	page.WriteString(`# Compatibility

Written by ` + "`make compat`" + ` from the running binary; a test fails when it is out of date. What interfaces do is held against
web-platform-tests by ` + "`make wpt`" + `, and [wpt/expectations.json](../wpt/expectations.json) names the reason of each subtest that
fails. [API.md](API.md) is the guide.

`)
	count := func(names []string) int {
		return len(names) - len(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return is.Found[name] != nil }))
	}
	fmt.Fprintf(&page, "## ECMA-429, the Minimum Common Web API\n\n%d of %d names.\n\n", count(ecma), len(ecma))
	writeNames(&page, is.Found, ecma)
	rest := slices.DeleteFunc(slices.Clone(workers), func(name string) bool { return slices.Contains(ecma, name) })
	fmt.Fprintf(&page, "## What Workers have beyond it\n\n%d of %d names.\n\n", count(rest), len(rest))
	writeNames(&page, is.Found, rest)
	page.WriteString("## Further globals\n\nBeside those of the language.\n\n")
	writeNames(&page, is.Others, slices.Sorted(maps.Keys(is.Others)))
	return page.String()
}

// writeNames writes a table: a line for each name.
func writeNames(page *strings.Builder, shapes map[string]*shape, names []string) {
	page.WriteString("| name | is | members |\n|---|---|---|\n")
	for _, name := range names {
		one := shapes[name]
		if one == nil {
			fmt.Fprintf(page, "| `%s` | **absent** | %s |\n", name, absent[name])
			continue
		}
		kind := one.Kind
		switch {
		case one.Kind == "interface" && one.Parent != "":
			kind = fmt.Sprintf("interface : `%s`", one.Parent)
		case one.Kind == "object":
			kind = fmt.Sprintf("a `%s`", one.Parent)
		}
		var members []string
		for _, member := range one.Statics {
			members = append(members, "static `"+member+"`")
		}
		for _, member := range one.Members {
			members = append(members, "`"+member+"`")
		}
		fmt.Fprintf(page, "| `%s` | %s | %s |\n", name, kind, strings.Join(members, " "))
	}
	page.WriteString("\n")
}
