package webapi

import (
	"crypto/sha256"
	"hash"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestScriptsAreASCII(t *testing.T) {
	for _, script := range Scripts() {
		for i := range len(script.Source) {
			if c := script.Source[i]; c >= 0x80 || c == '\r' {
				line := 1 + strings.Count(script.Source[:i], "\n")
				t.Errorf("%s:%d: byte %#x; V8 shares sources of one-byte strings only as ASCII", script.Name, line, c)
				break
			}
		}
	}
}

func TestScriptsAreInLoadOrder(t *testing.T) {
	name := regexp.MustCompile(`^[0-9]{2}_[a-z0-9_]+$`)
	list := Scripts()
	for i, script := range list {
		if !name.MatchString(script.Name) {
			t.Errorf("%q is not named NN_name", script.Name)
		}
		if i > 0 && list[i-1].Name >= script.Name {
			t.Errorf("%s comes after %s", script.Name, list[i-1].Name)
		}
		if lazy := script.Name >= "50" && script.Name < "90"; script.Lazy != lazy {
			t.Errorf("%s: Lazy is %t", script.Name, script.Lazy)
		}
	}
	if first, last := list[0].Name, list[len(list)-1].Name; first != "00_primordials" || last != "90_dispatch" {
		t.Errorf("scripts run from %s to %s", first, last)
	}
}

var comment = regexp.MustCompile(`(?m)^\s*//.*$`)

// code returns a script without its whole-line comments.
func code(script Script) string {
	return strings.TrimSpace(comment.ReplaceAllString(script.Source, ""))
}

func TestScriptsAreFunctionExpressions(t *testing.T) {
	for _, script := range Scripts() {
		text := code(script)
		if !strings.HasPrefix(text, "(function (ops, internals) {\n  \"use strict\";\n") {
			t.Errorf("%s does not start as a strict function of (ops, internals)", script.Name)
		}
		if !strings.HasSuffix(text, "\n})") {
			t.Errorf("%s does not end with the function", script.Name)
		}
	}
}

// destructured returns the names that `const { a, b: c } = object;` statements take from an object.
func destructured(text, object string) []string {
	statement := regexp.MustCompile(`const \{([^{}]*)\} = ` + regexp.QuoteMeta(object) + `;`)
	var names []string
	for _, match := range statement.FindAllStringSubmatch(text, -1) {
		for item := range strings.SplitSeq(match[1], ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(item), ":")
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// accessed returns the names in `object.name` expressions.
func accessed(text, object string) []string {
	var names []string
	for _, match := range regexp.MustCompile(`(?:^|[^.\w])`+regexp.QuoteMeta(object)+`\.(\w+)`).FindAllStringSubmatch(text, -1) {
		names = append(names, match[1])
	}
	return names
}

func TestOpsInScriptsExist(t *testing.T) {
	used := map[string]bool{}
	for _, script := range Scripts() {
		text := code(script)
		for _, name := range append(destructured(text, "ops"), accessed(text, "ops")...) {
			used[name] = true
			if !slices.Contains(Ops, name) {
				t.Errorf("%s uses ops.%s, which is not in the table", script.Name, name)
			}
		}
	}
	if !used["respond"] || !used["loadScript"] {
		t.Fatal("the test does not find the ops that are used for certain")
	}
	for _, name := range Ops {
		if !used[name] {
			t.Errorf("no script uses ops.%s", name)
		}
	}
}

func TestOpsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range Ops {
		if seen[name] {
			t.Errorf("%s is in the table twice", name)
		}
		seen[name] = true
	}
}

// definedPrimordials returns the names that 00_primordials puts on internals.primordials.
func definedPrimordials(t *testing.T) map[string]bool {
	t.Helper()
	source := code(Scripts()[0])
	defined := map[string]bool{}
	capitalize := func(key string) string { return strings.ToUpper(key[:1]) + key[1:] }
	list := regexp.MustCompile("(?s)(statics|methods|getters)\\(\"(\\w+)\", [\\w.]+, (?:\"([^\"]*)\"|`([^`]*)`)\\)")
	for _, match := range list.FindAllStringSubmatch(source, -1) {
		for _, key := range strings.Fields(match[3] + match[4]) {
			name := match[2]
			switch match[1] {
			case "methods":
				name += "Prototype"
			case "getters":
				name += "PrototypeGet"
			}
			if symbol, ok := strings.CutPrefix(key, "@@"); ok {
				key = "Symbol" + capitalize(symbol)
			}
			defined[name+capitalize(key)] = true
		}
	}
	constructors := regexp.MustCompile(`(?s)for \(const constructor of \[(.*?)\]\)`).FindStringSubmatch(source)
	if constructors == nil {
		t.Fatal("00_primordials has no list of constructors")
	}
	for name := range strings.SplitSeq(constructors[1], ",") {
		if name = strings.TrimSpace(name); name != "" {
			defined[name] = true
		}
	}
	for _, name := range accessed(source, "primordials") {
		defined[name] = true
	}
	return defined
}

// Every primordial costs heap in every isolate, and a missing one is undefined until it is called.
func TestPrimordialsAreThoseUsed(t *testing.T) {
	defined := definedPrimordials(t)
	if !defined["ArrayIsArray"] || !defined["MapPrototypeGetSize"] || !defined["Uint8Array"] || !defined["SafeMap"] {
		t.Fatal("the test does not find primordials that exist for certain")
	}
	used := map[string]bool{}
	for _, script := range Scripts()[1:] {
		text := code(script)
		names := append(destructured(text, "internals.primordials"), accessed(text, "internals.primordials")...)
		for _, name := range append(names, accessed(text, "primordials")...) {
			used[name] = true
			if !defined[name] {
				t.Errorf("%s uses primordial %s, which 00_primordials does not capture", script.Name, name)
			}
		}
	}
	for name := range defined {
		if !used[name] {
			t.Errorf("primordial %s is used by no script", name)
		}
	}
}

// An assignment to a property that `this` lacks runs a setter that an app has put on Object.prototype, and
// hands it the runtime's own object. A field that is declared in the class is defined before.
func TestClassesDeclareTheirFields(t *testing.T) {
	class := regexp.MustCompile(`^( *)(?:const \w+ = |return )?class (\w+)`)
	field := regexp.MustCompile(`^ *(\w+)(?: = .*|;)$`)
	assignment := regexp.MustCompile(`\bthis\.(\w+)(?: =|\+\+|--| [-+*|&]=) `)
	classes := 0
	for _, script := range Scripts() {
		lines := strings.Split(script.Source, "\n")
		for start, line := range lines {
			head := class.FindStringSubmatch(line)
			if head == nil || strings.HasSuffix(line, "}") || strings.HasSuffix(line, "});") {
				continue
			}
			classes++
			indent := head[1]
			declared := map[string]bool{}
			for number := start + 1; number < len(lines) && !strings.HasPrefix(lines[number], indent+"}"); number++ {
				line := lines[number]
				if strings.HasPrefix(line, indent+"  ") && !strings.HasPrefix(line, indent+"   ") {
					if match := field.FindStringSubmatch(strings.TrimSpace(strings.Split(line, " //")[0])); match != nil {
						declared[match[1]] = true
					}
				}
				for _, match := range assignment.FindAllStringSubmatch(line, -1) {
					if !declared[match[1]] {
						t.Errorf("%s:%d: class %s sets this.%s, a field that it does not declare",
							script.Name, number+1, head[2], match[1])
					}
				}
			}
		}
	}
	if classes < 5 {
		t.Fatalf("the test finds only %d classes", classes)
	}
}

// A script that another one loads by name must exist and be lazy.
func TestLoadedScriptsExist(t *testing.T) {
	literal := regexp.MustCompile(`"([0-9]{2}_[a-z0-9_]+)"`)
	lazy := map[string]bool{}
	for _, script := range Scripts() {
		lazy[script.Name] = script.Lazy
	}
	named := map[string]bool{}
	for _, script := range Scripts() {
		for _, match := range literal.FindAllStringSubmatch(code(script), -1) {
			named[match[1]] = true
			if !lazy[match[1]] {
				t.Errorf("%s names %s, which is no lazy script", script.Name, match[1])
			}
		}
	}
	for name, isLazy := range lazy {
		if isLazy && !named[name] {
			t.Errorf("lazy script %s is loaded by none", name)
		}
	}
}

func TestHashesTellListsApart(t *testing.T) {
	of := func(list ...string) [sha256.Size]byte {
		return hashOf(func(h hash.Hash) {
			for _, text := range list {
				writeText(h, text)
			}
		})
	}
	if of(slices.Concat(Ops, []string{""}, HostCalls)...) != OpsHash() {
		t.Error("OpsHash is not the hash of Ops and HostCalls")
	}
	if of("ab", "c") == of("a", "bc") || of("a", "b") == of("b", "a") {
		t.Error("different lists have the same hash")
	}
	if SourcesHash() == OpsHash() {
		t.Error("the hash of the sources is that of the ops")
	}
}
