package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestExampleShowsTheDefaults holds nano.toml at the root against this package: every key of
// [server], [isolates] and [app.limits] is there, with its default.
func TestExampleShowsTheDefaults(t *testing.T) {
	c, err := Load("../nano.toml")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	want := Default(root)
	if !reflect.DeepEqual(c.Server, want.Server) || c.Isolates != want.Isolates {
		t.Errorf("got  %+v %+v\nwant %+v %+v", c.Server, c.Isolates, want.Server, want.Isolates)
	}
	app := defaultApp(want)
	if len(c.Apps) != 2 || c.Apps[0].Limits != app.Limits || c.Apps[0].Path != app.Path || len(c.Apps[0].Hosts) != 0 {
		t.Errorf("apps %+v", c.Apps)
	}
	for _, app := range c.Apps {
		if _, err := os.Stat(app.Main); err != nil {
			t.Error(err)
		}
	}
}

// TestExampleShowsEveryKey looks up in nano.toml what the reader asks a document for.
func TestExampleShowsEveryKey(t *testing.T) {
	example, err := os.ReadFile("../nano.toml")
	if err != nil {
		t.Fatal(err)
	}
	asks := regexp.MustCompile(`\.(?:boolean|duration|integer|size|table|take|text|texts)\("([a-z_]+)"`)
	found := 0
	for _, name := range []string{"admin.go", "read.go", "fetch.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, ask := range asks.FindAllStringSubmatch(string(source), -1) {
			found++
			if !regexp.MustCompile(`\b` + ask[1] + `( =|\])`).Match(example) {
				t.Errorf("nano.toml does not show %s, which %s reads", ask[1], name)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d keys found", found)
	}
}

// TestKeysAreDocumented holds nano.toml, docs/CONFIG.md and the table of what is unavailable
// against each other.
func TestKeysAreDocumented(t *testing.T) {
	example, err := os.ReadFile("../nano.toml")
	if err != nil {
		t.Fatal(err)
	}
	documentation, err := os.ReadFile("../docs/CONFIG.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := regexp.MustCompile(`(?m)^(?:#not yet# )?([a-z_]+) = `).FindAllStringSubmatch(string(example), -1)
	if len(keys) < 30 {
		t.Errorf("nano.toml shows only %d keys", len(keys))
	}
	for _, key := range keys {
		if !strings.Contains(string(documentation), "`"+key[1]+"`") {
			t.Errorf("docs/CONFIG.md does not tell of %s", key[1])
		}
	}
	for _, f := range unavailable {
		key := f.key[strings.LastIndexByte(f.key, '.')+1:]
		if f.value == "" && !regexp.MustCompile(`(?m)^#not yet# (\[(app\.)?`+key+`\]|`+key+` =)`).Match(example) {
			t.Errorf("nano.toml does not show %s as not yet available", f.key)
		}
		if f.value != "" && !strings.Contains(string(documentation), f.value) {
			t.Errorf("docs/CONFIG.md does not tell of %s %s", f.key, f.value)
		}
	}
}
