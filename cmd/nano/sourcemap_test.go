package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestErrorsOfMinifiedTypeScript: what an app in minified, bundled TypeScript logs and leaves uncaught names
// files, lines and columns of its source, in the log and in the stack.
func TestErrorsOfMinifiedTypeScript(t *testing.T) {
	folder := writeFiles(t, map[string]string{
		"src/shop/price.ts": `// Prices are what this is about.
interface Item { name: string; price?: number }

export function total(items: Item[]): number {
  return items.reduce((sum: number, item: Item) => {
    if (item.price === undefined) {
      throw new RangeError("no price for " + item.name);
    }
    return sum + item.price;
  }, 0);
}
`,
		"src/index.ts": `import { total } from "./shop/price";

type Env = Record<string, string>;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    console.warn("asked for", new URL(request.url).pathname);
    return new Response(String(total([{ name: "apple" }])));
  },
};
`,
	})
	built := filepath.Join(folder, "app.nano")
	if exit, _, stderr := runNano(t, "build", "--minify", folder, "-o", built); exit != 0 {
		t.Fatalf("%d, %s", exit, stderr)
	}
	p := startNano(t, 1, "run", built, "--listen", "127.0.0.1:0")
	p.expect("GET", "/x", "localhost", "", 500, "nano: app: uncaught RangeError: no price for apple")
	line := p.waitForLog("asked for")
	if !strings.Contains(line, "asked for /x") || !strings.Contains(line, "source="+filepath.Join(folder, "src/index.ts")+":7:13") {
		t.Errorf("the line of the console: %s", line)
	}
	line = p.waitForLog("RangeError: no price for apple")
	if !strings.Contains(line, "source="+filepath.Join(folder, "src/shop/price.ts")+":7:13") {
		t.Errorf("the line of the error: %s", line)
	}
	for _, frame := range []string{" at %/src/shop/price.ts:7:13", "(%/src/shop/price.ts:5:16)", "(%/src/index.ts:8:32)"} {
		p.waitForLog(strings.ReplaceAll(frame, "%", folder))
	}
}
