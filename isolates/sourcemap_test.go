package isolates

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"

	"nano/isolates/shim"
	"nano/snapshot"
	"nano/sourcemap"
)

// squeeze puts all lines of a source into one, as minifiers do, with the map of it.
func squeeze(name, source string) (squeezed, text []byte) {
	var mappings strings.Builder
	var column, line, last, lastLine, lastColumn int
	isWord := func(c uint16) bool {
		return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for each := range strings.Lines(source) {
		trimmed := strings.TrimSpace(each)
		indentation := strings.Index(each, trimmed)
		units := utf16.Encode([]rune(trimmed)) // which columns count
		for i := range units {
			if i > 0 && isWord(units[i]) && isWord(units[i-1]) {
				continue
			}
			if mappings.Len() > 0 {
				mappings.WriteByte(',')
			}
			for _, difference := range [...]int{column + i - last, 0, line - lastLine, indentation + i - lastColumn} {
				appendDigits(&mappings, difference)
			}
			last, lastLine, lastColumn = column+i, line, indentation+i
		}
		squeezed = append(append(squeezed, trimmed...), ' ')
		column += len(units) + 1
		line++
	}
	text, _ = json.Marshal(map[string]any{"version": 3, "sources": []string{name}, "mappings": mappings.String()})
	return squeezed, text
}

// appendDigits appends a number as mappings have it.
func appendDigits(to *strings.Builder, value int) {
	rest := max(value, -value) << 1
	if value < 0 {
		rest |= 1
	}
	for more := true; more; {
		digit := rest & 31
		rest >>= 5
		if more = rest != 0; more {
			digit |= 32
		}
		to.WriteByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[digit])
	}
}

// mappedBundle is a bundle of a source that was squeezed, with its map.
func mappedBundle(t testing.TB, name, source string) *Bundle {
	t.Helper()
	squeezed, text := squeeze(name, source)
	made, err := NewBundle([]Module{{Name: "out (1).bundle.js", Source: squeezed, Map: text}})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// plainBundle is a bundle of the source as it is.
func plainBundle(t testing.TB, name, source string) *Bundle {
	t.Helper()
	made, err := NewBundle([]Module{{Name: name, Source: []byte(source)}})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// startsOf are isolates of a bundle, started in all the ways that there are.
func startsOf(t *testing.T, made *Bundle, visit func(how string, isolate *Isolate)) {
	t.Helper()
	built, err := testRuntime.Build(made, BuildOptions{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	store := snapshot.Store{Folder: t.TempDir()}
	key := testRuntime.ImageKey(made, "")
	if err := store.Save(key, built.Sections); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"source", "image", "image, a context for each request"} {
		app := testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}", PerRequest: strings.HasSuffix(how, "request")}, made)
		if how != "source" {
			image, err := testRuntime.Image(func() (*snapshot.File, error) { return store.Load(key) })
			if err != nil {
				t.Fatal(err)
			}
			if image.Reason() != "" {
				t.Errorf("no snapshot: %s", image.Reason())
			}
			app.SetImage(image)
		}
		isolate, err := startOn(app, -1)
		if err != nil {
			t.Fatal(err)
		}
		visit(how, isolate)
		isolate.Dispose()
	}
}

// stacksApp gives stacks of all kinds.
const stacksApp = `const early = new Error("at the top level");
class Thing {
  constructor() {
    this.error = new TypeError("in a constructor\n    at src/app.ts:1:1 (src/app.ts:1:1)");
  }
  get wrong() { return new Error("ä ö → 😀"); }
  static async later() {
    await null;
      throw new RangeError("later");
  }
  [Symbol.iterator]() { return null.x; }
}
function recurse() { return recurse() + 1; }
const caught = (f) => { try { f(); } catch (error) { return error; } };
function captured() {
  const holder = { name: "Holder", message: "own" };
    Error.captureStackTrace(holder, captured);
  return holder;
}
async function all() {
  try {
    await Promise.all([Thing.later(), Thing.later()]);
  } catch (error) {
    return error.stack;
  }
}
function named() { return new Error("an error with a cause", { cause: new Thing().error }); }
const dynamic = (text) => caught(new Function(text));
export default {
  async fetch(request) {
    const stacks = {
      early: early.stack,
      thing: new Thing().error.stack,
      getter: new Thing().wrong.stack,
      iterator: caught(() => [...new Thing()]).stack,
      native: caught(() => [3].map(function mapper() { JSON.parse("{"); })).stack,
      captured: captured().stack,
      recursion: typeof caught(recurse).stack,
      cause: named().cause.stack,
      dynamic: dynamic("throw new Error('x')").stack,
      all: await all(),
      replaced: Object.assign(new Error("x"), { stack: "mine" }).stack,
      platform: caught(() => new URL("")).stack,
      late: (await Promise.resolve().then(() => new Error("late"))).stack,
    };
    Error.stackTraceLimit = 1;
    stacks.limited = new Thing().error.stack;
    Error.stackTraceLimit = 0;
    stacks.none = new Thing().error.stack;
    Error.stackTraceLimit = 10;
    delete Error.prototype.toString;
    Error.prototype.toString = () => { throw new Error("toString"); };
    stacks.text = new Thing().error.stack;
    return Response.json(stacks);
  }
};
`

// TestMappedStacks: the stacks of errors in squeezed text with its map are those of the source itself.
func TestMappedStacks(t *testing.T) {
	lockThread(t)
	answers := map[string]map[string]string{}
	for kind, made := range map[string]*Bundle{"plain": plainBundle(t, "src/app.ts", stacksApp), "mapped": mappedBundle(t, "src/app.ts", stacksApp)} {
		startsOf(t, made, func(how string, isolate *Isolate) {
			request(t, isolate, 1, get)
			respond := respondOf(t, turn(t, isolate))
			stacks := map[string]string{}
			if err := json.Unmarshal(respond.Body, &stacks); err != nil {
				t.Fatalf("%s, %s: %s: %v", kind, how, respond.Body, err)
			}
			answers[kind+", "+how] = stacks
		})
	}
	for _, how := range []string{"source", "image", "image, a context for each request"} {
		plain, mapped := answers["plain, "+how], answers["mapped, "+how]
		if len(plain) < 15 || !strings.Contains(plain["thing"], "src/app.ts:4:18") || !strings.Contains(plain["all"], "async") {
			t.Fatalf("%s: %q", how, plain)
		}
		for name, want := range plain {
			if got := mapped[name]; got != want {
				t.Errorf("%s, %s:\n%s\nwant\n%s", how, name, got, want)
			}
		}
	}
}

// TestPrepareStackTrace: an app's own Error.prepareStackTrace works as without a map, places apart.
func TestPrepareStackTrace(t *testing.T) {
	lockThread(t)
	const app = `Error.prepareStackTrace = function (error, sites) { return error.message + sites.length + sites[0].getFunctionName() + (this === Error); };
function f() { return new Error("x"); }
export default { fetch() {
  const first = f().stack;
  Error.prepareStackTrace = () => { throw new Error("in it"); };
  let second;
  try { f().stack; } catch (error) { second = error.message; }
  Error.prepareStackTrace = undefined;
  return Response.json([first, second, f().stack]);
} };
`
	var answers []string
	for _, made := range []*Bundle{plainBundle(t, "src/app.ts", app), mappedBundle(t, "src/app.ts", app)} {
		startsOf(t, made, func(_ string, isolate *Isolate) {
			request(t, isolate, 1, get)
			answers = append(answers, string(respondOf(t, turn(t, isolate)).Body))
		})
	}
	if !strings.Contains(answers[0], "x4ftrue") || !strings.Contains(answers[0], `"in it"`) || !strings.Contains(answers[0], "at f (src/app.ts:2:23)") {
		t.Fatalf("%s", answers[0])
	}
	for i, answer := range answers[1:] {
		if answer != answers[0] {
			t.Errorf("%d: %s, want %s", i+1, answer, answers[0])
		}
	}
}

// logsApp writes to the log in all ways.
const logsApp = `console.log("top level");
Promise.reject(new Error("lost at the top level"));
function helper(text) {
      console.warn(text);
}
export default {
  async fetch(request) {
    console.log("here"); console.error("and here");
    helper("from a helper");
    [1].forEach(console.info);
    console.assert(false, "not so");
    console.count(); console.table([[1]]); console.time("t"); console.timeLog("u");
    console.trace("trace");
    setTimeout(() => { throw new TypeError("in a timer"); }, 0);
    Promise.reject(new Error("unhandled"));
    Promise.reject("no error");
    reportError(new Error("reported"));
    await null;
    console.log("after");
    throw new Error("uncaught", { cause: new Error("a cause") });
  }
};
`

// TestLogPlaces: each line of the log names its place, by the map if there is one.
func TestLogPlaces(t *testing.T) {
	lockThread(t)
	answers := map[string][]string{}
	for kind, made := range map[string]*Bundle{"plain": plainBundle(t, "src/app.ts", logsApp), "mapped": mappedBundle(t, "src/app.ts", logsApp)} {
		startsOf(t, made, func(how string, isolate *Isolate) {
			requestWithLogID(t, isolate, 7, 0x1234567890abcdef, get)
			var lines []string
			for _, record := range turn(t, isolate) {
				if record.Kind == KindTimerSet {
					isolate.AddTimer(record.ID)
				}
				if record.Kind == KindLog {
					lines = append(lines, fmt.Sprintf("%s: %d %x %s", record.Target, record.Level, record.LogID, record.Body))
				}
			}
			for _, record := range turn(t, isolate) {
				if record.Kind == KindLog {
					lines = append(lines, fmt.Sprintf("%s: %d %x %s", record.Target, record.Level, record.LogID, record.Body))
				}
			}
			answers[kind+", "+how] = lines
		})
	}
	plain := strings.Join(answers["plain, source"], "\n")
	for _, want := range []string{
		"src/app.ts:1:9: 1 0 top level", "src/app.ts:8:13: 1 1234567890abcdef here", "src/app.ts:8:34: 3 1234567890abcdef and here",
		"src/app.ts:4:15: 2 1234567890abcdef from a helper", "src/app.ts:10:9: 1 1234567890abcdef 1 0 [ 1 ]", "src/app.ts:11:13: 3 1234567890abcdef Assertion failed: not so",
		"src/app.ts:12:13: 1 1234567890abcdef default: 1", "src/app.ts:13:13: 0 1234567890abcdef Trace: trace", "src/app.ts:15:20: 4 1234567890abcdef unhandled rejection: Error: unhandled",
		": 4 1234567890abcdef unhandled rejection: no error", "src/app.ts:17:17: 4 1234567890abcdef Error: reported", "src/app.ts:19:13: 1 1234567890abcdef after",
		"src/app.ts:20:11: 4 1234567890abcdef Error: uncaught\n    at Object.fetch (src/app.ts:20:11)\ncaused by: Error: a cause\n    at Object.fetch (src/app.ts:20:42)",
		"src/app.ts:14:30: 4 1234567890abcdef TypeError: in a timer", "src/app.ts:2:16: 4 0 unhandled rejection: Error: lost",
	} {
		if !strings.Contains("\n"+plain+"\n", "\n"+want) {
			t.Errorf("there is no %q", want)
		}
	}
	if t.Failed() {
		t.Log(plain)
	}
	for _, how := range []string{"source", "image", "image, a context for each request"} {
		if got, want := strings.Join(answers["mapped, "+how], "\n"), strings.Join(answers["plain, "+how], "\n"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", how, got, want)
		}
	}
}

// TestMappedProblems: what keeps an app from starting, or from a snapshot, names its place in the source.
func TestMappedProblems(t *testing.T) {
	lockThread(t)
	for source, want := range map[string]string{
		"let a;\n  let a;":                                                             "src/app.ts:2:7: SyntaxError",
		"\n   null.x; export default {}":                                               "src/app.ts:2:9: TypeError",
		"\n  await new Promise(() => { }); export default {}":                          "src/app.ts:2:3: top-level await",
		"const later = 1;\n  setTimeout(() => { }); export default { }":                "src/app.ts:2:3: ",
		"\n  export const f = new Intl.NumberFormat(); export default { fetch() { } }": "src/app.ts:2:20: an Intl.NumberFormat",
		"\n  export const w = WebAssembly; export default { fetch() { } }":             "src/app.ts:2:20: WebAssembly",
	} {
		built, err := testRuntime.Build(mappedBundle(t, "src/app.ts", source), BuildOptions{Name: "test"})
		if got := built.Reason; err == nil && !strings.HasPrefix(got, want) {
			t.Errorf("%q: the reason is %q, want %q", source, got, want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %q", source, err, want)
		}
	}
}

// TestMapFind: the table is searched alike in C++ and in Go.
func TestMapFind(t *testing.T) {
	var source strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		fmt.Fprintf(&source, "%sf%d(%d, x);\n", strings.Repeat(" ", random.IntN(9)), i, random.IntN(10000))
	}
	squeezed, text := squeeze("src/ä.ts", source.String())
	table, err := sourcemap.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for column := uint32(0); int(column) < len(squeezed)+10; column += 1 + random.Uint32N(3) {
		for line := range uint32(3) {
			file, fileLine, fileColumn, ok := shim.MapFind(table, line, column)
			wantFile, wantLine, wantColumn, wantOK := table.Find(int(line), int(column))
			if file != wantFile || int(fileLine) != wantLine || int(fileColumn) != wantColumn || ok != wantOK {
				t.Fatalf("%d:%d is %s:%d:%d, want %s:%d:%d", line, column, file, fileLine, fileColumn, wantFile, wantLine, wantColumn)
			}
		}
	}
}

// FuzzMapFind searches tables that are none, in C++, and compares if they look like one.
func FuzzMapFind(f *testing.F) {
	_, text := squeeze("a", strings.Repeat("f(x);\n", 200))
	table, err := sourcemap.Parse(text)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(table), uint32(1), uint32(70))
	f.Fuzz(func(t *testing.T, table []byte, line, column uint32) {
		file, _, _, ok := shim.MapFind(table, line, column)
		if len(file) > len(table) || !ok && file != "" {
			t.Errorf("%q, %v", file, ok)
		}
	})
}

func TestBundlesKeepMaps(t *testing.T) {
	made := mappedBundle(t, "src/app.ts", "export default { fetch() { } }")
	again, err := DecodeBundle(made.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if string(again.modules[0].Map) != string(made.modules[0].Map) || string(again.modules[0].Table) != string(made.modules[0].Table) || len(made.modules[0].Table) == 0 {
		t.Errorf("%+v", again.modules[0])
	}
	if _, err := NewBundle([]Module{{Name: "a", Map: []byte("{}")}}); !errors.Is(err, ErrBundle) || !errors.Is(err, sourcemap.ErrFormat) {
		t.Errorf("a map that is none: %v", err)
	}
	broken := *made
	broken.modules = append([]shim.Module(nil), made.modules...)
	broken.modules[0].Table = []byte("NSM1 and not more")
	if _, err := DecodeBundle(broken.Encode()); !errors.Is(err, ErrBundle) {
		t.Errorf("a table that is none: %v", err)
	}
}

// BenchmarkStack is what it takes to make an error and read its stack.
func BenchmarkStack(b *testing.B) {
	const app = `function deep(n) { return n === 0 ? new Error("x").stack.length : deep(n - 1); }
export default { fetch(request) {
  let sum = 0;
  for (let i = 0; i < 1000; i++) sum += deep(8);
  return new Response(sum);
} };
`
	for kind, made := range map[string]*Bundle{"plain": plainBundle(b, "src/app.ts", app), "mapped": mappedBundle(b, "src/app.ts", app)} {
		b.Run(kind, func(b *testing.B) { benchmarkRequests(b, made) })
	}
}

// BenchmarkConsole is what a line of the log takes.
func BenchmarkConsole(b *testing.B) {
	const app = `export default { fetch(request) {
  for (let i = 0; i < 1000; i++) console.log("a line");
  return new Response();
} };
`
	for kind, made := range map[string]*Bundle{"plain": plainBundle(b, "src/app.ts", app), "mapped": mappedBundle(b, "src/app.ts", app)} {
		b.Run(kind, func(b *testing.B) { benchmarkRequests(b, made) })
	}
}

// benchmarkRequests reports what a thousandth of a request takes.
func benchmarkRequests(b *testing.B, made *Bundle) {
	lockThread(b)
	isolate, err := startOn(testRuntime.NewApp(AppOptions{Name: "test", EnvJSON: "{}"}, made), -1)
	if err != nil {
		b.Fatal(err)
	}
	defer isolate.Dispose()
	for b.Loop() {
		request(b, isolate, 1, get)
		turn(b, isolate)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/piece")
}
