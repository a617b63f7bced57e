// Package npm has the test of the packages for npm in these folders.
package npm

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTypes has the TypeScript compiler look at nano-types and at the examples, strictly. `make types` installs it.
func TestTypes(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiler takes seconds")
	}
	compiler, err := filepath.Abs("nano-types/node_modules/typescript/bin/tsc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(compiler); err != nil {
		t.Skip("the TypeScript compiler is not installed here: npm ci --prefix npm/nano-types")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	projects, err := filepath.Glob("../examples/*/tsconfig.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(projects) == 0 {
		t.Error("no example has a tsconfig.json")
	}
	for _, project := range append(projects, "nano-types/test") {
		if out, err := exec.Command("node", compiler, "-p", project).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", project, err, out)
		}
	}
}
