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
	header string // as users write it: "[server]", "[[app]]"
	path   string // as features.go writes it: "server", "app.limits"
	node   *node
	values map[string]any
	taken  []string // known keys, whether present or not
}

// take gives the value of key and marks it as known. A key whose feature is missing is reported
// and given as absent.
func (t *table) take(key string) (value any, at *node, ok bool) {
	t.taken = append(t.taken, key)
	value, ok = t.values[key]
	if !ok {
		return nil, t.node, false
	}
	at = t.node.field(key)
	if what, found := missing(t.path+"."+key, ""); found {
		t.report(at.key, t.label(key), what, "")
		return nil, at, false
	}
	return value, at, true
}

// label names a key for a message.
func (t *table) label(key string) string {
	return strings.TrimSpace(t.header + " " + quoteKey(key))
}

// wrongType reports that key should have been a want, for example value.
func (t *table) wrongType(at Position, key string, value any, want, example string) {
	t.report(at, t.label(key), fmt.Sprintf("must be %s, not %s", want, typeName(value)),
		fmt.Sprintf("write %s = %s", quoteKey(key), example))
}

func (t *table) text(key string) (value string, at *node, ok bool) {
	v, at, ok := t.take(key)
	if !ok {
		return "", at, false
	}
	value, ok = v.(string)
	if !ok {
		t.wrongType(at.value, key, v, "a string", `"…"`)
	}
	return value, at, ok
}

// texts takes an array of strings; the nodes are those of its items.
func (t *table) texts(key, example string) (values []string, nodes []*node, ok bool) {
	v, at, ok := t.take(key)
	if !ok {
		return nil, nil, false
	}
	items, ok := v.([]any)
	if !ok {
		t.wrongType(at.value, key, v, "an array of strings", "["+example+"]")
		return nil, nil, false
	}
	for i, item := range items {
		value, isText := item.(string)
		if !isText {
			t.wrongType(at.item(i).value, key, item, "an array of strings", "["+example+"]")
			continue
		}
		values, nodes = append(values, value), append(nodes, at.item(i))
	}
	return values, nodes, true
}

func (t *table) boolean(key string, into *bool) {
	v, at, ok := t.take(key)
	if !ok {
		return
	}
	value, ok := v.(bool)
	if !ok {
		t.wrongType(at.value, key, v, "true or false", fmt.Sprint(*into))
		return
	}
	*into = value
}

// integer takes a whole number from 0 to limit.
func (t *table) integer(key string, limit int64, into *int) {
	v, at, ok := t.take(key)
	if !ok {
		return
	}
	value, ok := v.(int64)
	if !ok {
		t.wrongType(at.value, key, v, "a whole number", fmt.Sprint(*into))
		return
	}
	if value < 0 || value > limit {
		t.report(at.value, t.label(key), fmt.Sprintf("is %d, out of its range", value),
			fmt.Sprintf("write a number from 0 to %d", limit))
		return
	}
	*into = int(value)
}

// duration takes a duration in Go's notation, of at least least.
func (t *table) duration(key string, least time.Duration, into *time.Duration) {
	v, at, ok := t.take(key)
	if !ok {
		return
	}
	text, ok := v.(string)
	if !ok {
		t.wrongType(at.value, key, v, "a string with a duration", fmt.Sprintf("%q", "10s"))
		return
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		t.report(at.value, t.label(key), fmt.Sprintf("%q is not a duration", text),
			`write one such as "500ms", "10s" or "1m30s"`)
		return
	}
	if value < least {
		t.report(at.value, t.label(key), fmt.Sprintf("%q is too short", text),
			fmt.Sprintf("the least is %q", least))
		return
	}
	*into = value
}

// size takes a number of bytes from least to most.
func (t *table) size(key string, least, most int64, into *int64) {
	v, at, ok := t.take(key)
	if !ok {
		return
	}
	text, ok := v.(string)
	if !ok {
		t.wrongType(at.value, key, v, "a string with a size", fmt.Sprintf("%q", formatSize(*into)))
		return
	}
	value, what, cure := parseSize(text)
	switch {
	case what != "":
		t.report(at.value, t.label(key), what, cure)
	case value < least:
		t.report(at.value, t.label(key), fmt.Sprintf("%q is too small", text),
			fmt.Sprintf("the least is %q", formatSize(least)))
	case value > most:
		t.report(at.value, t.label(key), fmt.Sprintf("%q is too large", text),
			fmt.Sprintf("the most is %q", formatSize(most)))
	default:
		*into = value
	}
}

// table takes a sub-table. Its header is [path] in any notation, because that is how the
// documentation calls it.
func (t *table) table(key string) (*table, bool) {
	v, at, ok := t.take(key)
	if !ok {
		return nil, false
	}
	path := key
	if t.path != "" {
		path = t.path + "." + key
	}
	values, ok := v.(map[string]any)
	if !ok {
		cure := "write a [" + path + "] table once"
		t.report(at.value, "["+path+"]", "must be a table, not "+typeName(v), cure)
		return nil, false
	}
	return &table{reader: t.reader, header: "[" + path + "]", path: path, node: at, values: values}, true
}

// finish reports the keys that nobody took.
func (t *table) finish() {
	var known []string
	for _, key := range t.taken {
		if _, isMissing := missing(strings.TrimPrefix(t.path+"."+key, "."), ""); !isMissing {
			known = append(known, key)
		}
	}
	for key := range t.values {
		if slices.Contains(t.taken, key) {
			continue
		}
		cure := "known here: " + strings.Join(known, ", ")
		if near := nearest(key, t.taken); near != "" {
			cure = fmt.Sprintf("did you mean %s?", near)
		}
		t.report(t.node.field(key).key, t.label(key), "unknown key", cure)
	}
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
