package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestScan marks keys by a name that ends in their line and column: kLINE_COLUMN. The text around
// them has every notation that TOML knows.
func TestScan(t *testing.T) {
	text := strings.ReplaceAll(`# comment with "quotes [and] = signs
k2_1 = 1 # = [x]
"k3_1" = "a # no comment \" \\"
'k4_1' = 'C:\'
"k5\u005f1" = """
[not a table]
not.a.key = 1 \
  "" \""" """"
k9_1 = '''
'' it's raw \'''''
k11_1 = [ 1, [2, "]"], # ]
  { k12_5 = 3 }, 1979-05-27 07:32:00 ]
k13_1 = { k13_11 = 1, "k13_23" = { k13_36.k13_43 = {} } }
k14_1 . "k14_9" = true
	k15_2 = +1_0
[k16_2]
k17_1.k17_7 = 1
[ k18_3 . "k18_11" ]
k19_1 = inf
[[k20_3]]
k21_1 = 1
[[k20_3]]
k23_1 = {
  k24_3 = [
    [],
  ],
}
[k20_3.k28_8]
k29_1 = ""
[[ k20_3.'k30_10' ]]
k31_1 = ''
`, "\t", "\t")
	values, root, problem := decode("x.toml", text)
	if problem != nil {
		t.Fatal(problem)
	}
	count := 0
	checkTree(t, values, root, func(key string, at *node) {
		count++
		if want := fmt.Sprintf("k%d_%d", at.key.Line, at.key.Column); key != want {
			t.Errorf("%s is found at %v", key, at.key)
		}
	})
	if count != 29 {
		t.Errorf("visited %d keys", count)
	}
	for path, want := range map[string]Position{
		"k2_1": {2, 8}, "k5_1": {5, 15}, "k11_1": {11, 9}, "k15_2": {15, 10}, "k16_2": {16, 1},
	} {
		if got := root.fields[path].value; got != want {
			t.Errorf("the value of %s is found at %v, want %v", path, got, want)
		}
	}
	items := root.fields["k11_1"].items
	if got := []Position{items[0].value, items[1].value, items[1].items[1].value, items[2].value, items[3].value}; !reflect.DeepEqual(got,
		[]Position{{11, 11}, {11, 14}, {11, 18}, {12, 3}, {12, 18}}) {
		t.Errorf("the items of k11_1 are found at %v", got)
	}
}

// TestScanWindowsLines has carriage returns, which count as bytes of their line.
func TestScanWindowsLines(t *testing.T) {
	_, root, problem := decode("x.toml", "\ufeffa = 1\r\n[t]\r\n  b = [ # c\r\n 2 ]\r\n")
	if problem != nil {
		t.Fatal(problem)
	}
	b := root.fields["t"].fields["b"]
	if b.key != (Position{3, 3}) || b.items[0].value != (Position{4, 2}) {
		t.Errorf("b at %v, its item at %v", b.key, b.items[0].value)
	}
}

// checkTree walks values and nodes together, and fails where a value has no node. visit sees
// every key.
func checkTree(t *testing.T, value any, at *node, visit func(key string, at *node)) {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		for key, child := range value {
			childAt := at.fields[key]
			if childAt == nil {
				t.Fatalf("no place for key %q", key)
			}
			visit(key, childAt)
			checkTree(t, child, childAt, visit)
		}
		if len(at.fields) != len(value) {
			t.Fatalf("%d places for %d keys: %v %v", len(at.fields), len(value), at.fields, value)
		}
	case []any:
		if len(at.items) != len(value) {
			t.Fatalf("%d places for %d items of %v", len(at.items), len(value), value)
		}
		for i, child := range value {
			checkTree(t, child, at.items[i], visit)
		}
	case []map[string]any:
		if len(at.items) != len(value) {
			t.Fatalf("%d places for %d tables", len(at.items), len(value))
		}
		for i, child := range value {
			checkTree(t, child, at.items[i], visit)
		}
	}
}

// FuzzParse looks for a panic, for a place outside the document, and for a document whose places
// do not fit its values.
func FuzzParse(f *testing.F) {
	f.Add(everyKey)
	for _, test := range problemTests {
		f.Add(test.text)
	}
	if example, err := os.ReadFile("../nano.toml"); err == nil {
		f.Add(string(example))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if values, root, problem := decode("f.toml", text); problem == nil {
			checkTree(t, values, root, func(string, *node) {})
		}
		c, err := parse("f.toml", []byte(text), testSurroundings)
		if err == nil {
			for i := range c.Apps {
				c.Apps[i].EnvJSON()
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("not a list of problems: %v", err)
		}
		lines := strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")
		for _, p := range problems {
			if p.At.Line < 1 || p.At.Line > len(lines) || p.At.Column < 1 || p.At.Column > len(lines[p.At.Line-1])+1 {
				t.Fatalf("place outside the document: %v", p)
			}
			if p.What == "" || strings.Contains(p.Error(), "\n") {
				t.Fatalf("not one line: %q", p.Error())
			}
		}
	})
}
