package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nano/bundle"
	"nano/config"
)

// snippet is a block of code in a page of the documentation.
type snippet struct {
	page     string
	line     int    // of its first line, from 1
	language string // after the fence; "": none, or a block that is indented
	text     string
}

func (s *snippet) place() string { return s.page + ":" + strconv.Itoa(s.line) }

// documentation is the text of all pages: those of the root, in docs/ and beside what they tell of.
func documentation(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md", "npm/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range found {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(root, page)
			pages[name] = string(text)
		}
	}
	if len(pages) < 10 {
		t.Fatalf("only %d pages found", len(pages))
	}
	return pages
}

// snippetsOf finds the blocks of a page, the fenced ones and the indented ones.
func snippetsOf(page, text string) (all []*snippet) {
	var current *snippet
	isFenced := false
	number := 0
	for line := range strings.Lines(text) {
		number++
		switch {
		case strings.HasPrefix(line, "```") && isFenced:
			current, isFenced = nil, false
		case strings.HasPrefix(line, "```"):
			current = &snippet{page: page, line: number + 1, language: strings.TrimSpace(line[3:])}
			all, isFenced = append(all, current), true
		case isFenced:
			current.text += line
		case strings.HasPrefix(line, "    "):
			if current == nil {
				current = &snippet{page: page, line: number}
				all = append(all, current)
			}
			current.text += line[4:]
		default:
			current = nil
		}
	}
	return all
}

var (
	// commandLine is `nano …` in the running text, and commandInBlock at the beginning of a line of a block, where a
	// prompt, sudo or a path may come before it.
	commandLine    = regexp.MustCompile("`((?:bin/)?nano [^`]*)`")
	commandInBlock = regexp.MustCompile(`(?m)^(?:\$ )?(?:sudo )?((?:\S*/)?nano [^#\n]*)`)
	flagOfCommand  = regexp.MustCompile(`^--?([a-z][a-z-]*)`)
	commandName    = regexp.MustCompile(`^[a-z]+$`)
)

// TestCommandsInDocumentation holds the command lines of the documentation, `nano X --flag`, against the commands
// and flags that there are.
func TestCommandsInDocumentation(t *testing.T) {
	all := describeCommands()
	lines := 0
	for page, text := range documentation(t) {
		var found []string
		for _, match := range commandLine.FindAllStringSubmatch(text, -1) {
			found = append(found, match[1])
		}
		for _, s := range snippetsOf(page, text) {
			if s.language != "" && s.language != "sh" {
				continue
			}
			for _, match := range commandInBlock.FindAllStringSubmatch(s.text, -1) {
				found = append(found, match[1])
			}
		}
		for _, line := range found {
			lines++
			if what := wrongInCommand(all, line); what != "" {
				t.Errorf("%s: %s: %s", page, line, what)
			}
		}
	}
	if lines < 50 {
		t.Errorf("only %d command lines found", lines)
	}
}

// wrongInCommand tells what is wrong with a command line of ours; "": nothing.
func wrongInCommand(all []described, line string) string {
	words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \n[]|(),", r) })
	if len(words) < 2 || words[1] == "COMMAND" || words[1] == "…" || strings.HasPrefix(words[1], "-") {
		return ""
	}
	name := words[1]
	i := slices.IndexFunc(all, func(d described) bool { return d.name == name })
	switch {
	case i < 0 && name == manualCommand:
		return ""
	case i < 0:
		return "there is no such command"
	}
	operands := 0
	for _, word := range words[2:] {
		if strings.ContainsAny(word, "<>&;") {
			break // another command, or where the output goes
		}
		if match := flagOfCommand.FindStringSubmatch(word); match != nil {
			known := func(f string) bool { return f == match[1] }
			if match[1] != "h" && !slices.ContainsFunc(flagNames(&all[i]), known) {
				return "there is no flag " + word
			}
			continue
		}
		operands++
		if name == "apps" && operands == 1 && commandName.MatchString(word) && !slices.Contains(all[i].words(), word) {
			return "there is no apps " + word
		}
	}
	return ""
}

func flagNames(d *described) (names []string) {
	for _, f := range d.flags {
		names = append(names, f.Name)
	}
	return names
}

// TestWrongInCommand makes sure that the test above can fail.
func TestWrongInCommand(t *testing.T) {
	all := describeCommands()
	for line, want := range map[string]string{
		"nano serve -c x.toml":                 "",
		"nano run FILE [--listen ADDRESS]":     "",
		"nano apps [list|show] NAME":           "",
		"nano types > env.d.ts":                "",
		"bin/nano frobnicate":                  "there is no such command",
		"nano serve --listen 127.0.0.1:1":      "there is no flag --listen",
		"nano apps launch hello":               "there is no apps launch",
		"nano logs -f hello --jsonl | head -1": "there is no flag --jsonl",
	} {
		if got := wrongInCommand(all, line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestReadmeIsComplete finds each command, each folder of the root and each page in README.md.
func TestReadmeIsComplete(t *testing.T) {
	readme := documentation(t)["README.md"]
	for _, d := range describeCommands() {
		if !strings.Contains(readme, "\n| `nano "+d.name) {
			t.Errorf("the table of commands lacks %s", d.name)
		}
	}
	listed, err := exec.Command("git", "-C", filepath.Join("..", ".."), "ls-tree", "-d", "--name-only", "HEAD").Output()
	if err != nil {
		t.Skip("without git, what was built cannot be told from what is in the repository:", err)
	}
	for _, folder := range strings.Fields(string(listed)) {
		if !strings.HasPrefix(folder, ".") && !strings.Contains(readme, "`"+folder+"/") {
			t.Errorf("the layout lacks %s/", folder)
		}
	}
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if !strings.Contains(readme, "(docs/"+filepath.Base(page)+")") {
			t.Errorf("the list of pages lacks %s", filepath.Base(page))
		}
	}
}

// TestConfigurationsInDocumentation reads the nano.toml snippets. What is about the machine, such as files and
// credentials that are not there, is not held against them; unknown keys and wrong values are.
func TestConfigurationsInDocumentation(t *testing.T) {
	read := 0
	for page, text := range documentation(t) {
		for _, s := range snippetsOf(page, text) {
			if s.language != "toml" || strings.Contains(s.text, "[package]") {
				continue
			}
			read++
			document := s.text
			switch {
			case strings.HasPrefix(document, "# keys of [[app]]\n"): // the form of `nano apps deploy --settings`
				document = "[[app]]\nname = \"a\"\nmain = \"a.js\"\n" + strings.ReplaceAll(document, "\n[", "\n[app.")
			case !strings.Contains(document, "[[app]]") && strings.Contains(document, "[app."):
				document = "[[app]]\nname = \"a\"\nmain = \"a.js\"\n" + document
			}
			_, err := config.Parse(filepath.Join(t.TempDir(), "nano.toml"), []byte(document))
			var problems config.Problems
			if err != nil && !errors.As(err, &problems) {
				t.Errorf("%s: %v", s.place(), err)
			}
			for _, problem := range problems {
				if !isAboutMachine(problem.Error()) {
					t.Errorf("%s: %s", s.place(), problem.Error())
				}
			}
		}
	}
	if read < 3 {
		t.Errorf("only %d configurations found", read)
	}
}

func isAboutMachine(problem string) bool {
	for _, text := range []string{"no such file", "is not set", "CREDENTIALS_DIRECTORY", "credential"} {
		if strings.Contains(problem, text) {
			return true
		}
	}
	return false
}

// TestCodeInDocumentation has the snippets of JavaScript and TypeScript parsed. What they import need not be there.
func TestCodeInDocumentation(t *testing.T) {
	parsed := 0
	for page, text := range documentation(t) {
		for _, s := range snippetsOf(page, text) {
			if !slices.Contains([]string{"js", "jsx", "ts", "tsx"}, s.language) {
				continue
			}
			parsed++
			folder := t.TempDir()
			main := filepath.Join(folder, "snippet."+s.language)
			if err := os.WriteFile(main, []byte(s.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := bundle.Build(context.Background(), bundle.Options{Main: main, Base: folder})
			var failed *bundle.Diagnostics
			if err != nil && !errors.As(err, &failed) {
				t.Fatal(err)
			}
			if failed == nil {
				continue
			}
			for _, each := range failed.List {
				if !strings.HasPrefix(each.Text, "cannot ") { // import or find what is imported
					t.Errorf("%s: %s", s.place(), each.String())
				}
			}
		}
	}
	if parsed < 8 {
		t.Errorf("only %d snippets found", parsed)
	}
}
