package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// TableReference is the documentation of one table of nano.toml.
type TableReference struct {
	Header string // "[server]", "[[app]]"
	About  string // what it is, in Markdown
	Keys   []KeyReference
}

// KeyReference is the documentation of one key.
type KeyReference struct {
	Name     string
	Type     string // "a string with a size"
	Default  string // in TOML; "": it has none
	Inherits string // the table whose key of that name is the default: "[isolates]"; "": none
	Required bool
	Range    string // "From 1 ms to 1 h"; "": that of the type
	Meaning  string // in Markdown
	Example  string // a value in TOML
}

// Reference is the documentation of nano.toml, made of the table that the reader goes by.
func Reference() []TableReference {
	var tables []TableReference
	for i := range sections {
		s := &sections[i]
		if s.path == "" {
			continue
		}
		table := TableReference{Header: s.header, About: s.about}
		for j := range s.keys {
			if k := &s.keys[j]; k.kind != kindTable && k.kind != kindTables { // those are tables of their own here
				table.Keys = append(table.Keys, k.reference())
			}
		}
		tables = append(tables, table)
	}
	return tables
}

func (k *key) reference() KeyReference {
	inherits := ""
	if k.inherits != "" {
		inherits = sectionOf(k.inherits[:strings.LastIndexByte(k.inherits, '.')]).header
	}
	return KeyReference{Name: k.name, Type: string(k.wants()), Default: k.standard, Inherits: inherits,
		Required: k.isRequired, Range: k.bounds(), Meaning: k.meaning, Example: k.show()}
}

// bounds says what values the key takes, as a sentence.
func (k *key) bounds() string {
	var least, most string
	switch k.wants() {
	case kindInteger:
		if k.most == 0 || k.most == math.MaxInt32 {
			return ""
		}
		least, most = strconv.FormatInt(k.least, 10), strconv.FormatInt(k.most, 10)
	case kindNumber:
		least, most = strconv.FormatInt(k.least, 10), strconv.FormatInt(k.most, 10)
	case kindSize:
		least, most = spaced(formatSize(k.least)), spaced(formatSize(k.most))
	case kindDuration:
		least = spaced(time.Duration(k.least).String())
		if k.most > 0 {
			most = spaced(time.Duration(k.most).String())
		}
	default:
		return "" // meanings name the choices of a string
	}
	switch {
	case most != "":
		return "From " + least + " to " + most
	case k.least > 0:
		return "At least " + least
	}
	return ""
}

// spaced puts a blank between a number and its unit.
func spaced(quantity string) string {
	number := strings.TrimRight(quantity, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzµ")
	return number + " " + quantity[len(number):]
}

// Where the documentation has the keys of a table. The lines between the two are generated.
const (
	referenceBegin = "<!-- keys of %s, by make docs -->\n"
	referenceEnd   = "<!-- end of keys -->\n"
)

// writeReference puts the keys of each table into a Markdown document, between the lines that mark their places. Each
// table with keys must have one.
func writeReference(document string) (string, error) {
	for _, table := range Reference() {
		if len(table.Keys) == 0 {
			continue
		}
		begin := fmt.Sprintf(referenceBegin, table.Header)
		before, rest, found := strings.Cut(document, begin)
		_, after, ends := strings.Cut(rest, referenceEnd)
		if !found || !ends {
			return "", fmt.Errorf("no place for the keys of %s: write %q and %q there", table.Header, begin, referenceEnd)
		}
		document = before + begin + "\n" + table.markdown() + "\n" + referenceEnd + after
	}
	return document, nil
}

// markdown is the table in Markdown, as a table.
func (t TableReference) markdown() string {
	var b strings.Builder
	b.WriteString(t.About + "\n\n| key | default | meaning |\n|---|---|---|\n")
	for _, k := range t.Keys {
		standard := ""
		switch {
		case k.Required:
			standard = "required"
		case k.Inherits != "":
			standard = "that of `" + k.Inherits + "`"
		case k.Default != "":
			standard = "`" + k.Default + "`"
		}
		meaning := k.Meaning
		if k.Range != "" {
			meaning += ". " + k.Range
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, standard, strings.ReplaceAll(meaning, "|", `\|`))
	}
	return b.String()
}

// Bounds says in sentences what the key takes and what it is without a value: `A string with a size. From 1 B to
// 1 TiB. Default: "100MiB"`. It ends without a full stop.
func (k KeyReference) Bounds() string {
	parts := []string{strings.ToUpper(k.Type[:1]) + k.Type[1:]}
	if k.Range != "" {
		parts = append(parts, k.Range)
	}
	switch {
	case k.Required:
		parts = append(parts, "Required")
	case k.Inherits != "":
		parts = append(parts, "Default: that of `"+k.Inherits+"`")
	case k.Default != "":
		parts = append(parts, "Default: `"+k.Default+"`")
	}
	return strings.Join(parts, ". ")
}
