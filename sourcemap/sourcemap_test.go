package sourcemap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func parse(t testing.TB, text string) Table {
	t.Helper()
	table, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if err := Check(table); err != nil {
		t.Fatalf("%s: the table: %v", text, err)
	}
	return table
}

// find is what Find says, "source:line:column" or "".
func find(table Table, line, column int) string {
	source, sourceLine, sourceColumn, ok := table.Find(line, column)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", source, sourceLine, sourceColumn)
}

func TestFind(t *testing.T) {
	// Line 1: column 1 is a.ts:1:1, 5 is b.ts:3:2, 9 is nowhere, 13 is a.ts:1:5. Line 3: column 3 is b.ts:4:1.
	table := parse(t, `{"version":3,"file":"out.js","sources":["a.ts",null,"b.ts"],"sourcesContent":["x",null,"y"],"names":["n"],
		"mappings":"AAAA,IEEC,I,IFFGA;;EEGJ","x_google_ignoreList":[0]}`)
	if got := table.Sources(); !slices.Equal(got, []string{"a.ts", "b.ts"}) {
		t.Errorf("sources %q", got)
	}
	for _, test := range []struct {
		line, column int
		want         string
	}{
		{1, 1, "a.ts:1:1"}, {1, 4, "a.ts:1:1"}, {1, 5, "b.ts:3:2"}, {1, 8, "b.ts:3:2"}, {1, 9, ""}, {1, 12, ""},
		{1, 13, "a.ts:1:5"}, {1, 999, "a.ts:1:5"}, {2, 1, ""}, {3, 1, ""}, {3, 2, ""}, {3, 3, "b.ts:4:1"},
		{3, 5, "b.ts:4:1"}, {4, 3, ""}, {0, 1, ""}, {1, 0, ""}, {-1, -1, ""},
	} {
		if got := find(table, test.line, test.column); got != test.want {
			t.Errorf("%d:%d is %q, want %q", test.line, test.column, got, test.want)
		}
	}
	if empty := parse(t, `{"version":3,"sources":[],"mappings":""}`); find(empty, 1, 1) != "" {
		t.Error("something is found in an empty map")
	}
	if root := parse(t, `{"version":3,"sourceRoot":"src/","sources":["a.ts"],"mappings":"AAAA"}`); find(root, 1, 1) != "src/a.ts:1:1" {
		t.Errorf("with a root %q", find(root, 1, 1))
	}
}

func TestSections(t *testing.T) {
	table := parse(t, `{"version":3,"sections":[
		{"offset":{"line":0,"column":4},"map":{"version":3,"sources":["a"],"names":[],"mappings":"AAAA;AACA"}},
		{"offset":{"line":1,"column":10},"map":{"version":3,"sources":["b","a"],"mappings":"AAAA,CCAC;CACA"}}]}`)
	for at, want := range map[[2]int]string{{1, 4}: "", {1, 5}: "a:1:1", {2, 1}: "a:2:1", {2, 10}: "a:2:1", {2, 11}: "b:1:1",
		{2, 12}: "a:1:2", {3, 1}: "", {3, 2}: "a:2:2"} {
		if got := find(table, at[0], at[1]); got != want {
			t.Errorf("%v is %q, want %q", at, got, want)
		}
	}
}

func TestMalformed(t *testing.T) {
	const one = `{"version":3,"sources":["a"],"mappings":"AAAA"}`
	for _, text := range []string{
		"", "[]", "{", `{"version":2,"sources":[],"mappings":""}`, `{"version":"3","sources":[],"mappings":""}`, `{"version":3,"sources":[]}`,
		`{"version":3,"sources":["a"],"mappings":7}`, `{"version":3,"sources":[1],"mappings":""}`, `{"version":3,"sources":[""],"mappings":""}`,
		`{"version":3,"sources":["a\n    at b"],"mappings":""}`, `{"version":3,"sources":["` + strings.Repeat("a", 5000) + `"],"mappings":""}`,
		`{"version":3,"sections":[],"mappings":""}`, `{"version":3,"sections":[{"map":` + one + `}]}`,
		`{"version":3,"sections":[{"offset":{"line":0},"map":` + one + `}]}`, `{"version":3,"sections":[{"offset":{"line":-1,"column":0},"map":` + one + `}]}`,
		`{"version":3,"sections":[{"offset":{"line":1,"column":0},"map":` + one + `},{"offset":{"line":0,"column":0},"map":` + one + `}]}`,
		`{"version":3,"sections":[{"offset":{"line":0,"column":0},"map":{"version":3,"sections":[]}}]}`,
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%.80s: %v", text, err)
		}
	}
	for _, mappings := range []string{"!", "AA", "AAA", "AAAAAA", "ACAA", "ADAA", "AADA", "AAAD", "DAAA", "AAAAA", "g", "AAAg", "ggggggggggA", "////////P", " AAAA"} {
		text := `{"version":3,"sources":["a"],"names":[],"mappings":"` + mappings + `"}`
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", mappings, err)
		}
	}
}

func TestCheck(t *testing.T) {
	table := parse(t, randomMap(300, 3, 1).text())
	for length := range len(table) {
		if Check(table[:length]) == nil {
			t.Errorf("%d of %d bytes are a table", length, len(table))
		}
	}
	// Names come into logs.
	table = parse(t, `{"version":3,"sources":["name"],"names":[],"mappings":"AAAA"}`)
	for _, name := range []string{"na\ne", "n\x1bme", "nam\x00", "nam\xff"} {
		if Check(bytes.Replace(table, []byte("name"), []byte(name), 1)) == nil {
			t.Errorf("%q is the name of a source", name)
		}
	}
}

// plainMap is a source map as a list.
type plainMap struct {
	sources  int
	segments []segment
}

// randomMap makes a map like those of minified text if perLine is large.
func randomMap(count, sources int, seed uint64) *plainMap {
	random := rand.New(rand.NewPCG(seed, 0))
	m := &plainMap{sources: sources}
	var s segment
	for range count {
		if random.IntN(50) == 0 {
			s.line += random.Uint32N(3)
			s.column = random.Uint32N(5)
		} else {
			s.column += 1 + random.Uint32N(20)
			if random.IntN(100) == 0 {
				s.column += random.Uint32N(100_000)
			}
		}
		if last := len(m.segments) - 1; last >= 0 && !s.isAfter(m.segments[last].line, m.segments[last].column) {
			continue
		}
		s.source = random.Int32N(int32(sources)+1) - 1
		if random.IntN(3) == 0 {
			s.sourceLine = max(0, s.sourceLine+random.Int32N(2001)-1000)
		}
		s.sourceColumn = random.Int32N(200)
		m.segments = append(m.segments, s)
	}
	return m
}

// text is the map as JSON.
func (m *plainMap) text() string {
	var mappings strings.Builder
	var line, column uint32
	var source, sourceLine, sourceColumn int32
	for i, s := range m.segments {
		for ; line < s.line; line++ {
			mappings.WriteByte(';')
			column = 0
		}
		if i > 0 && m.segments[i-1].line == s.line {
			mappings.WriteByte(',')
		}
		number(&mappings, int64(s.column)-int64(column))
		column = s.column
		if s.source == nowhere {
			continue
		}
		number(&mappings, int64(s.source-source))
		number(&mappings, int64(s.sourceLine-sourceLine))
		number(&mappings, int64(s.sourceColumn-sourceColumn))
		source, sourceLine, sourceColumn = s.source, s.sourceLine, s.sourceColumn
	}
	var sources []string
	for i := range m.sources {
		sources = append(sources, fmt.Sprintf("src/module-%d.ts", i))
	}
	text, _ := json.Marshal(map[string]any{"version": 3, "sources": sources, "names": []string{}, "mappings": mappings.String()})
	return string(text)
}

func number(to *strings.Builder, value int64) {
	rest := uint64(value) << 1
	if value < 0 {
		rest = uint64(-value)<<1 | 1
	}
	for {
		digit := rest & 31
		if rest >>= 5; rest != 0 {
			digit |= 32
		}
		to.WriteByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[digit])
		if rest == 0 {
			return
		}
	}
}

// find is what a look at all segments finds.
func (m *plainMap) find(line, column int) string {
	found := segment{source: nowhere}
	for _, s := range m.segments {
		if s.line == uint32(line-1) && s.column <= uint32(column-1) {
			found = s
		}
	}
	if found.source == nowhere {
		return ""
	}
	return fmt.Sprintf("src/module-%d.ts:%d:%d", found.source, found.sourceLine+1, found.sourceColumn+1)
}

// TestAgainstPlainMap: the table finds at every place what a look at all segments does.
func TestAgainstPlainMap(t *testing.T) {
	for seed := range uint64(20) {
		m := randomMap(int(1+seed*17), 1+int(seed%4), seed)
		table := parse(t, m.text())
		for _, s := range m.segments {
			for shift := -1; shift <= 1; shift++ {
				line, column := int(s.line)+1, int(s.column)+1+shift
				if got, want := find(table, line, column), m.find(line, column); got != want && column > 0 {
					t.Fatalf("seed %d: %d:%d is %q, want %q", seed, line, column, got, want)
				}
			}
		}
	}
}

// TestSize: a table is no larger than the mappings that it is made of, and the same each time.
func TestSize(t *testing.T) {
	m := randomMap(100_000, 200, 1)
	text := m.text()
	table := parse(t, text)
	if len(table) > len(text) {
		t.Errorf("%d bytes of a map of %d", len(table), len(text))
	}
	if again := parse(t, text); string(again) != string(table) {
		t.Error("another table of the same map")
	}
	t.Logf("%d segments, %d bytes of JSON, %d of table", len(m.segments), len(text), len(table))
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version":3,"sources":["a.ts",null],"names":["n"],"mappings":"AAAA,IACA;;EA,C"}`))
	f.Add([]byte(`{"version":3,"sections":[{"offset":{"line":1,"column":2},"map":{"version":3,"sources":["a"],"mappings":"AAAA"}}]}`))
	f.Add([]byte(randomMap(200, 3, 1).text()))
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%v", err)
			}
			return
		}
		if err := Check(table); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for line := range 4 {
			for column := range 40 {
				find(table, line, column)
			}
		}
	})
}

// FuzzFind searches tables that are none.
func FuzzFind(f *testing.F) {
	f.Add([]byte(parse(f, randomMap(200, 3, 1).text())), 3, 70)
	f.Fuzz(func(t *testing.T, table []byte, line, column int) {
		if Check(table) == nil {
			find(table, line, column)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := []byte(randomMap(100_000, 200, 1).text())
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	m := randomMap(100_000, 200, 1)
	table := parse(b, m.text())
	i := 0
	for b.Loop() {
		s := &m.segments[i%len(m.segments)]
		table.Find(int(s.line)+1, int(s.column)+2)
		i += 7919
	}
}
