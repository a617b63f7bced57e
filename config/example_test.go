package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/CONFIG.md")

// TestExampleShowsTheDefaults holds nano.toml at the root against this package: what it shows of the node and of the
// limits of an app is what an empty file gives.
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
	if !reflect.DeepEqual(c.Server, want.Server) || c.Isolates != want.Isolates || c.Admin != want.Admin {
		t.Errorf("got  %+v %+v %+v\nwant %+v %+v %+v", c.Server, c.Isolates, c.Admin, want.Server, want.Isolates, want.Admin)
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

var (
	shownHeader = regexp.MustCompile(`^(?:# )?(\[\[?[a-z.]+\]\]?)(?: |$)`)
	shownKey    = regexp.MustCompile(`^(?:# )?([a-z_]+) = (.*?)(?:  +#.*)?$`)
)

// exampleKeys are the keys that nano.toml shows, behind a # or not, with their values, by table; those of the first app.
func exampleKeys(t *testing.T) map[string]map[string]string {
	t.Helper()
	example, err := os.ReadFile("../nano.toml")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]map[string]string{}
	header := ""
	for line := range strings.Lines(string(example)) {
		line = strings.TrimSuffix(line, "\n")
		if match := shownHeader.FindStringSubmatch(line); match != nil {
			header = match[1]
			if shown[header] == nil {
				shown[header] = map[string]string{}
			}
		} else if match := shownKey.FindStringSubmatch(line); match != nil {
			if _, isShown := shown[header][match[1]]; !isShown {
				shown[header][match[1]] = match[2]
			}
		}
	}
	return shown
}

// TestExampleShowsEveryKey holds nano.toml against the table of keys: each is there, and has its default unless it is
// one that every app must say for itself.
func TestExampleShowsEveryKey(t *testing.T) {
	shown := exampleKeys(t)
	for _, table := range Reference() {
		if strings.HasSuffix(table.Header, " NAME") {
			continue // the keys of a secret are shown within their line
		}
		if shown[table.Header] == nil {
			t.Errorf("nano.toml does not show %s", table.Header)
		}
		for _, k := range table.Keys {
			value, isShown := shown[table.Header][k.Name]
			want := k.Default
			if k.Inherits != "" {
				want = shown[k.Inherits][k.Name]
			}
			switch {
			case !isShown:
				t.Errorf("nano.toml does not show %s %s, for example with # before it", table.Header, k.Name)
			case value != want && want != "" && k.Inherits != "[server]":
				t.Errorf("nano.toml shows %s %s = %s, the default is %s", table.Header, k.Name, value, want)
			}
		}
	}
}

// TestEveryKeyIsRead gives each key of the table a date, which none wants: if nothing complains, nothing reads it.
func TestEveryKeyIsRead(t *testing.T) {
	found := 0
	for i := range sections {
		s := &sections[i]
		for _, name := range s.names() {
			var document string
			switch {
			case s.path == "":
				document = name + " = 1979-05-27"
			case s.path == "app.secrets.*":
				document = minimalApp + "[app.secrets]\nA = { " + name + " = 1979-05-27 }"
			case s.path == "app":
				document = strings.Replace(minimalApp, name+" = ", "# ", 1) + name + " = 1979-05-27"
			case strings.HasPrefix(s.path, "app."):
				document = minimalApp + s.header + "\n" + name + " = 1979-05-27"
			default:
				document = s.header + "\n" + name + " = 1979-05-27"
			}
			found++
			_, err := parse("nano.toml", []byte(document), testSurroundings)
			var problems Problems
			if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), "not a date or time") {
				t.Errorf("%s\n%v", document, err)
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d keys", found)
	}
}

// TestTableOfKeys looks at what every row has to have.
func TestTableOfKeys(t *testing.T) {
	for i := range sections {
		s := &sections[i]
		for j := range s.keys {
			k := &s.keys[j]
			at := s.path + "." + k.name
			if (k.into == nil) == (k.kind == "") {
				t.Errorf("%s: has neither or both of into and kind", at)
			}
			if k.meaning == "" || strings.HasSuffix(k.meaning, ".") || strings.Contains(k.meaning, "\n") {
				t.Errorf("%s: the meaning is one line without a full stop at its end", at)
			}
			for _, choice := range k.choices {
				if !strings.Contains(k.meaning+k.standard, `"`+choice+`"`) {
					t.Errorf("%s: the meaning does not tell of %q", at, choice)
				}
			}
			if k.into != nil && k.standard == "" && k.inherits == "" {
				t.Errorf("%s: has no default", at)
			}
			if _, _, problem := decode("x", k.name+" = "+k.show()); problem != nil {
				t.Errorf("%s: the example %s: %v", at, k.show(), problem)
			}
			if k.inherits != "" && keyAt(k.inherits).wants() != k.wants() {
				t.Errorf("%s is not of the type of %s", at, k.inherits)
			}
		}
	}
}

// TestReference holds docs/CONFIG.md against the table of keys; `make docs` writes it anew.
func TestReference(t *testing.T) {
	const file = "../docs/CONFIG.md"
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := writeReference(string(document))
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case want == string(document):
	case *update:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("docs/CONFIG.md is not what the table of keys says: make docs")
	}
	if _, err := writeReference("# nothing"); err == nil || !strings.Contains(err.Error(), "no place for the keys of [server]") {
		t.Errorf("a document without places: %v", err)
	}
}
