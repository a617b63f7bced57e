package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nano/config"
)

// TestDescribe: what completion and manual are made of is what the commands parse.
func TestDescribe(t *testing.T) {
	found := map[string]string{}
	for _, d := range describeCommands() {
		if d.text == "" {
			t.Errorf("%s: tells nothing", d.name)
		}
		for _, f := range d.flags {
			found[d.name] += dashed(f.Name) + " "
		}
	}
	for name, want := range map[string]string{"serve": "-c ", "run": "--env --inspect --inspect-brk --listen ", "build": "--env --minify -o --warmup ", "version": ""} {
		if !strings.HasPrefix(found[name], want) {
			t.Errorf("%s: %q, want %q", name, found[name], want)
		}
	}
}

// TestBashCompletion asks bash itself.
func TestBashCompletion(t *testing.T) {
	needs(t, "bash")
	script := bashCompletion(describeCommands())
	for line, want := range map[string]string{
		"nano ser":               "serve",
		"nano run --l":           "--listen",
		"nano completion ":       "bash zsh fish",
		"nano completion bash -": "-h",
		"nano apps ro":           "rollback",
		"nano serve nano":        "",
	} {
		words := strings.Split(line, " ")
		command := exec.Command("bash", "-c", script+"\nCOMP_CWORD=$(($# - 1)); COMP_WORDS=(\"$@\"); _nano; echo \"${COMPREPLY[@]}\"", "bash")
		command.Args = append(command.Args, words...)
		out, err := command.CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%q: %q, %v, want %q", line, out, err, want)
		}
	}
}

// TestCompletionScripts: the other shells take the scripts, and an unknown one is refused.
func TestCompletionScripts(t *testing.T) {
	for shell, check := range map[string][]string{"zsh": {"-n"}, "fish": {"--no-execute"}} {
		exit, script, _ := runNano(t, "completion", shell)
		if exit != 0 || !strings.Contains(script, "listen") {
			t.Errorf("%s: exit code %d: %s", shell, exit, script)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(shell, append(check, file)...).CombinedOutput(); err != nil || len(out) != 0 {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
	if exit, _, stderr := runNano(t, "completion", "csh"); exit != 2 || !strings.Contains(stderr, `"csh" is none of the shells`) {
		t.Errorf("exit code %d: %s", exit, stderr)
	}
}

// TestManual: the pages tell of every command, flag and key, and troff takes them.
func TestManual(t *testing.T) {
	commandPage, filePage := commandManual(describeCommands()), fileManual(config.Reference())
	for _, d := range describeCommands() {
		if !strings.Contains(commandPage, ".SS nano "+roffText(d.name)) {
			t.Errorf("nano(1) does not tell of %s", d.name)
		}
	}
	for _, table := range config.Reference() {
		for _, k := range table.Keys {
			if !strings.Contains(filePage, ".BR "+roffText(k.Name)+" ") {
				t.Errorf("nano.toml(5) does not tell of %s", k.Name)
			}
		}
	}
	for _, left := range []string{"**", "`", "]("} {
		if strings.Contains(filePage, left) {
			t.Errorf("nano.toml(5) has Markdown left: %s", left)
		}
	}
	if exit, _, stderr := runNano(t, "manual", "3"); exit != 2 || !strings.Contains(stderr, "name 1 or 5") {
		t.Errorf("exit code %d: %s", exit, stderr)
	}
	needs(t, "groff")
	for _, page := range []string{commandPage, filePage} {
		command := exec.Command("groff", "-man", "-Tutf8", "-ww")
		command.Stdin = strings.NewReader(page)
		var complaints bytes.Buffer
		command.Stderr = &complaints
		if _, err := command.Output(); err != nil || complaints.Len() > 0 {
			t.Errorf("%v: %s", err, complaints.String())
		}
	}
}

// TestRoff: what a text may hold that troff takes for its own.
func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		"see [[[app.cron]]](#appcron)":       `see [[app.cron]]`,
		"**Not** `a-b`, [this](x.md#y)":      `\fBNot\fR \fBa\-b\fR, this`,
		".start with a back\\slash and 'it'": `\&.start with a back\eslash and \(aqit\(aq`,
	} {
		if got := roffMarkdown(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
