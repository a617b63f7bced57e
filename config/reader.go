package config

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// reader collects the problems of a document.
type reader struct {
	file     string
	problems Problems
	warnings Problems
}

func (r *reader) report(at Position, key, what, cure string) {
	r.problems = append(r.problems, Problem{r.file, at, key, what, cure})
}

// warn notes what is allowed and yet worth knowing.
func (r *reader) warn(at Position, key, what, cure string) {
	r.warnings = append(r.warnings, Problem{r.file, at, key, what, cure})
}

// table is one table of the document. Its methods take keys out of it, each by the type that it
// must have; finish then reports those that nobody took.
type table struct {
	*reader
	*section // what may be in it
	node     *node
	values   map[string]any
}

// read takes every key that goes straight into a field. The App is nil in tables of the node.
func (t *table) read(c *Config, app *App) {
	for i := range t.keys {
		k := &t.keys[i]
		if k.into == nil {
			continue
		}
		value, at, ok := t.take(k.name)
		if !ok {
			continue
		}
		if what, cure := k.set(value, k.into(c, app)); what != "" {
			t.report(at.value, t.label(k.name), what, cure)
		}
	}
}

// take gives the value of a key. Where it is absent, the place is that of the table.
func (t *table) take(key string) (value any, at *node, ok bool) {
	if !t.isFree && t.key(key) == nil {
		panic("config: " + t.header + " " + key + " is not in the table of keys")
	}
	value, ok = t.values[key]
	if !ok {
		return nil, t.node, false
	}
	return value, t.node.field(key), true
}

// label names a key for a message.
func (t *table) label(key string) string {
	return strings.TrimSpace(t.header + " " + quoteKey(key))
}

// wrongType reports that a value is not what the key wants.
func (t *table) wrongType(at Position, name string, value any) {
	k := t.key(name)
	if k == nil {
		k = &key{name: quoteKey(name), kind: kindText} // a name of the user's choice
	}
	what, cure := k.wrongType(value)
	t.report(at, t.label(name), what, cure)
}

// text takes a string.
func (t *table) text(name string) (value string, at *node, ok bool) {
	v, at, ok := t.take(name)
	if !ok {
		return "", at, false
	}
	value, ok = v.(string)
	if !ok {
		t.wrongType(at.value, name, v)
		return "", at, false
	}
	if k := t.key(name); k != nil {
		if what, cure := k.checkText(value); what != "" {
			t.report(at.value, t.label(name), what, cure)
		}
	}
	return value, at, true
}

// texts takes an array of strings; the nodes are those of its items.
func (t *table) texts(name string) (values []string, nodes []*node, ok bool) {
	v, at, ok := t.take(name)
	if !ok {
		return nil, nil, false
	}
	items, ok := v.([]any)
	if !ok {
		t.wrongType(at.value, name, v)
		return nil, nil, false
	}
	for i, item := range items {
		value, isText := item.(string)
		if !isText {
			t.wrongType(at.item(i).value, name, item)
			continue
		}
		values, nodes = append(values, value), append(nodes, at.item(i))
	}
	return values, nodes, true
}

// table takes a sub-table.
func (t *table) table(name string) (*table, bool) {
	v, at, ok := t.take(name)
	if !ok {
		return nil, false
	}
	below := sectionOf(strings.TrimPrefix(t.path+"."+name, "."))
	values, ok := v.(map[string]any)
	if !ok {
		t.report(at.value, below.header, "must be a table, not "+typeName(v), "write a "+below.header+" table once")
		return nil, false
	}
	return &table{reader: t.reader, section: below, node: at, values: values}, true
}

// required reports that the table has no such key.
func (t *table) required(name, cure string) {
	if _, present := t.values[name]; !present {
		t.report(t.node.key, t.header, "has no "+name, "add "+name+" = "+cure)
	}
}

// finish reports the keys that are not in the table of keys.
func (t *table) finish() {
	names := t.names()
	for name := range t.values {
		if slices.Contains(names, name) {
			continue
		}
		cure := "known here: " + strings.Join(names, ", ")
		if near := nearest(name, names); near != "" {
			cure = fmt.Sprintf("did you mean %s?", near)
		} else if other := elsewhere(name); other != "" {
			cure = "it belongs to " + other
		}
		t.report(t.node.field(name).key, t.label(name), "unknown key", cure)
	}
}

// elsewhere names the tables that have a key; "": none has.
func elsewhere(name string) string {
	var headers []string
	for i := range sections {
		if s := &sections[i]; s.path != "" && s.key(name) != nil {
			headers = append(headers, s.header)
		}
	}
	return strings.Join(headers, " or ")
}

// nearest is the name that key was probably meant to be, or "".
func nearest(key string, names []string) string {
	distanceMax := 1 + len(key)/4
	best := ""
	for _, name := range names {
		if d := editDistance(strings.ToLower(key), name); d <= distanceMax {
			best, distanceMax = name, d-1
		}
	}
	return best
}

// editDistance is Levenshtein's: how many bytes to insert, delete or replace.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return math.MaxInt
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// typeName calls the type of a decoded value by the name a user knows.
func typeName(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "true or false"
	case time.Time:
		return "a date or time"
	case []any:
		return "an array"
	case []map[string]any:
		return "an array of tables"
	case map[string]any:
		return "a table"
	}
	return fmt.Sprintf("%T", value)
}

// quoteKey writes a key as TOML wants it.
func quoteKey(key string) string {
	isBare := key != "" && strings.Trim(key,
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == ""
	if isBare {
		return key
	}
	return fmt.Sprintf("%q", key)
}

// sortedKeys gives the keys of m in the order of the file.
func sortedKeys[V any](m map[string]V, n *node) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		x, y := n.field(a).key, n.field(b).key
		return cmp.Or(x.Line-y.Line, x.Column-y.Column, strings.Compare(a, b))
	})
	return keys
}
