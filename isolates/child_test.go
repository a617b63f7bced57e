package isolates

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nano/snapshot"
)

// buildTo names the file that a child process, which this test binary starts of itself, builds an
// image of testSeeds into.
const buildTo = "NANO_TEST_BUILD_TO"

// Whatever V8 keeps in hash tables, whose seed is another in every process.
var testSeeds = func() []string {
	var exports, keys strings.Builder
	for i := range 300 {
		fmt.Fprintf(&exports, "export const name%d = %d; export function get%d() { return name%d; }\n", i, i, i, i)
		fmt.Fprintf(&keys, "key%d: %d, ", i, i)
	}
	return []string{"main.js", `import * as all from "./many.js"; import { name7, get8, default as first } from "./many.js";
		const object = {` + keys.String() + `}; delete object.key5; object.key5 = 5;
		const map = new Map(), set = new Set(), weak = new WeakMap(), symbols = {}, list = [];
		for (let i = 0; i < 300; i++) {
			map.set("k" + i, i); map.set(i, -i); set.add("s" + i); symbols[Symbol.for("y" + i)] = i;
			const o = {}; weak.set(o, i); list.push(o); globalThis["global" + i] = i;
		}
		list[100_000] = 1; // a dictionary of numbers
		class Big { static [Symbol.for("static")] = 1; #secret = 9; get secret() { return this.#secret; } }
		for (let i = 0; i < 200; i++) Big.prototype["m" + i] = () => i;
		const big = new Big(), frozen = Object.freeze({ ...object });
		export default { fetch() {
			let wrong = 0;
			const check = (ok) => { if (!ok) wrong++; };
			for (let i = 0; i < 300; i++) {
				check(all["name" + i] === i); check(all["get" + i]() === i); check(object["key" + i] === i); check(frozen["key" + i] === i);
				check(map.get("k" + i) === i); check(map.get(i) === -i); check(set.has("s" + i)); check(symbols[Symbol.for("y" + i)] === i);
				check(weak.get(list[i]) === i); check(globalThis["global" + i] === i);
				check(("name" + i) in all); check(Object.hasOwn(all, "get" + i)); check(!(("none" + i) in all));
			}
			for (let i = 0; i < 200; i++) check(big["m" + i]() === i);
			check(Object.keys(all).length === 601); check(name7 === 7 && get8() === 8 && first === "default");
			check(list[100_000] === 1 && Big[Symbol.for("static")] === 1 && big.secret === 9);
			check(JSON.stringify(Object.keys(object).slice(0, 3)) === '["key0","key1","key2"]');
			check(new URL("http://a/b").pathname === "/b" && [..."ab"].length === 2 && structuredClone(map).get("k9") === 9);
			return new Response(String(wrong));
		} }`,
		"many.js", "export default 'default';\n" + exports.String()}
}()

func buildInChild(path string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	folder := filepath.Dir(path)
	for i := 0; i < len(testSeeds); i += 2 {
		fail(os.WriteFile(filepath.Join(folder, testSeeds[i]), []byte(testSeeds[i+1]), 0o600))
	}
	resolver, err := testRuntime.NewResolver()
	fail(err)
	bundle, err := resolver.Resolve(filepath.Join(folder, testSeeds[0]), folder)
	fail(err)
	resolver.Close()
	built, err := testRuntime.Build(bundle, BuildOptions{Name: "test", Warmup: "/"})
	fail(err)
	if built.Reason != "" || built.WarmUpNote != "" {
		fail(fmt.Errorf("%s %s", built.Reason, built.WarmUpNote))
	}
	fail(os.WriteFile(path, snapshot.Encode(testRuntime.ImageKey(bundle, "/"), built.Sections), 0o600))
	os.Exit(0)
}

// A snapshot is at home in a process with another seed for its hash tables than the builder's.
func TestSnapshotOfAnotherProcess(t *testing.T) {
	for range 3 {
		path := filepath.Join(t.TempDir(), "app.snapshot")
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), buildTo+"="+path)
		if output, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		image, err := testRuntime.Image(func() (*snapshot.File, error) { return snapshot.Open(path) })
		if err != nil {
			t.Fatal(err)
		}
		app := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}"}, testBundle)
		app.SetImage(image)
		isolate := startImage(t, app, "snapshot")
		for range 2 {
			if got := fetch(t, isolate, get); string(got.Body) != "0" {
				t.Errorf("%s lookups went wrong", got.Body)
			}
			isolate.Collect()
		}
	}
}
