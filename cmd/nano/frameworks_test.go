package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// frameworkBuilds are the projects of examples/frameworks that a tool builds, and that tool's command.
var frameworkBuilds = map[string][]string{
	"sveltekit":    {"../node_modules/.bin/vite", "build"},
	"react-router": {"../node_modules/.bin/react-router", "build"},
}

// buildPackages are packages that only the tools need; most of what npm installs is theirs.
var buildPackages = []string{"workerd", "@cloudflare/workerd-*", "miniflare", "@img", "typescript", "esbuild", "@esbuild", "@rolldown"}

// frameworksFolder has the projects of examples/frameworks in the user's cache, built: once for each state of
// their files, and if NANO_TEST_FRAMEWORKS is 1, since that fetches some hundred MB. Without npm, or without the
// network when it is needed first, the test is skipped.
func frameworksFolder(t *testing.T) string {
	t.Helper()
	const source = "../../examples/frameworks"
	files, state := projectFiles(t, source)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("there is no place for npm's packages:", err)
	}
	built := filepath.Join(cache, "nano-test", "frameworks-"+state)
	if _, err := os.Stat(built); err == nil {
		return built
	}
	if os.Getenv("NANO_TEST_FRAMEWORKS") != "1" {
		t.Skip("installs and builds for minutes: make frameworks")
	}
	scratch := npmScratch(t, built)
	for path, name := range files {
		copyFile(t, path, filepath.Join(scratch, name))
	}
	// Not "ci", which takes a lock file of a registry without the builds for other systems for an incomplete one.
	runNPM(t, scratch, "install")
	for project, command := range frameworkBuilds {
		buildProject(t, filepath.Join(scratch, project), command)
	}
	for _, pattern := range buildPackages {
		found, _ := filepath.Glob(filepath.Join(scratch, "node_modules", pattern))
		for _, each := range found {
			_ = os.RemoveAll(each)
		}
	}
	if err := os.Rename(scratch, built); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	return built
}

// projectFiles are the files below a folder by their paths, each with its name below it, and a hash of them. What
// tools have put there is left out.
func projectFiles(t *testing.T, source string) (files map[string]string, state string) {
	t.Helper()
	hash := sha256.New()
	files = map[string]string{}
	err := filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "node_modules" || name == "build" || strings.HasPrefix(name, ".") && path != source):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(hash, "%s %d\n%s", path, len(text), text)
		files[path] = strings.TrimPrefix(path, source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, fmt.Sprintf("%x", hash.Sum(nil)[:8])
}

// buildProject has a framework's tool build a project. Which of the newest ones this machine's node can run, only they
// know.
func buildProject(t *testing.T, folder string, command []string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), command[0], command[1:]...)
	run.Dir = folder
	timer := time.AfterFunc(3*time.Minute, func() { _ = run.Process.Kill() })
	defer timer.Stop()
	if output, err := run.CombinedOutput(); err != nil {
		t.Skipf("%s cannot build %s: %v\n%s", command[0], folder, err, output)
	}
}

// TestFrameworks runs the workers that frameworks build, as `nano run DIR` finds them.
func TestFrameworks(t *testing.T) {
	folder := frameworksFolder(t)
	for project, questions := range map[string][]struct{ method, target, body, want string }{
		"sveltekit": {
			{"GET", "/?name=%3Cb%3E", "", `<h1>Hello, &lt;b>!</h1> <p>from vars</p>`},
			{"POST", "/api", `{"a":1}`, `{"echo":{"a":1},"title":"from vars"}`},
			{"GET", "/_app/version.json", "", `{"version":"`},
			{"GET", "/nowhere", "", "Not Found"},
		},
		"react-router": {
			{"GET", "/?name=%3Cb%3E", "", `<h1>Hello, &lt;b&gt;! from vars</h1>`},
			{"POST", "/api", `{"a":1}`, `{"echo":{"a":1}}`},
			{"GET", "/nowhere", "", "Not Found"},
		},
		"node": {
			{"GET", "/a/b", "", `["b","dGV4dA==","from vars",["NODE_ENV","TITLE"],"format has 1",true,"function"]`},
		},
	} {
		t.Run(project, func(t *testing.T) {
			p := startNano(t, 1, "run", filepath.Join(folder, project), "--listen", "127.0.0.1:0")
			for _, q := range questions {
				got := p.ask(q.method, q.target, "", q.body, "Content-Type", "application/json")
				if !strings.Contains(squeezed(got.body), q.want) {
					t.Errorf("%s %s: %d %s\nwant %s", q.method, q.target, got.status, got.body, q.want)
				}
			}
		})
	}
}

// squeezed is a text with its white space made single spaces; a JSON string is as it was.
func squeezed(text string) string {
	if json.Valid([]byte(text)) {
		return text
	}
	return strings.Join(strings.Fields(text), " ")
}
