package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// section is one table of nano.toml.
type section struct {
	path   string // "server", "app.limits"; "": the file itself
	header string // as users write it: "[server]", "[[app]]"
	about  string // what the table is, in a sentence or two
	keys   []key
	isFree bool // its keys are names of the user's choice: env
}

// key is one key of a section: everything that is known of it, for the reader, for its messages and for the
// documentation.
type key struct {
	name string
	// into is where the value goes: a *bool, *int, *float64, *int64 (a size in bytes), *time.Duration or *string. The App is
	// nil in tables of the node. nil: read.go reads the key itself, and kind says what it wants.
	into func(c *Config, app *App) any
	kind kind
	// least and most bound numbers, sizes in bytes and durations in nanoseconds; most 0: none but that of the type.
	least, most int64
	choices     []string                              // of a string; nil: any
	check       func(text string) (what, cure string) // of a string; nil: none
	// standard is the default, in TOML; "": required if isRequired, or else there is none.
	standard   string
	isRequired bool
	inherits   string // the path of the key whose value is the default: "isolates.heap"
	example    string // a value in TOML, where the default is not one to follow
	// meaning is what it does, in Markdown, without type, default and range.
	meaning string
}

// kind is what TOML value a key wants.
type kind string

const (
	kindBool     kind = "true or false"
	kindInteger  kind = "a whole number"
	kindNumber   kind = "a number"
	kindSize     kind = "a string with a size"
	kindDuration kind = "a string with a duration"
	kindText     kind = "a string"
	kindTexts    kind = "an array of strings"
	kindTable    kind = "a table"
	kindTables   kind = "an array of tables"
)

// sectionOf finds a section by its path; nil: there is none.
func sectionOf(path string) *section {
	for i := range sections {
		if sections[i].path == path {
			return &sections[i]
		}
	}
	return nil
}

// key finds a key by its name; nil: there is none.
func (s *section) key(name string) *key {
	for i := range s.keys {
		if s.keys[i].name == name {
			return &s.keys[i]
		}
	}
	return nil
}

func (s *section) names() []string {
	names := make([]string, len(s.keys))
	for i := range s.keys {
		names[i] = s.keys[i].name
	}
	return names
}

// keyAt finds a key by path: "isolates.heap".
func keyAt(path string) *key {
	dot := strings.LastIndexByte(path, '.')
	return sectionOf(path[:dot]).key(path[dot+1:])
}

// wants is the kind of the key.
func (k *key) wants() kind {
	if k.into == nil {
		return k.kind
	}
	switch k.into(&Config{}, &App{}).(type) {
	case *bool:
		return kindBool
	case *int:
		return kindInteger
	case *float64:
		return kindNumber
	case *int64:
		return kindSize
	case *time.Duration:
		return kindDuration
	}
	return kindText
}

// show is a value in TOML for a message: "write KEY = …".
func (k *key) show() string {
	switch {
	case k.example != "":
		return k.example
	case k.inherits != "":
		return keyAt(k.inherits).show()
	case k.standard != "" && k.standard != `""`:
		return k.standard
	}
	return `"…"`
}

// set puts a decoded value into what k.into gave. what is "" if it fits.
func (k *key) set(value, into any) (what, cure string) {
	switch into := into.(type) {
	case *bool:
		if v, ok := value.(bool); ok {
			*into = v
			return "", ""
		}
	case *int:
		if v, ok := value.(int64); ok {
			return k.setInteger(v, into)
		}
	case *float64:
		switch v := value.(type) {
		case float64:
			return k.setNumber(v, into)
		case int64:
			return k.setNumber(float64(v), into)
		}
	case *int64:
		if v, ok := value.(string); ok {
			return k.setSize(v, into)
		}
	case *time.Duration:
		if v, ok := value.(string); ok {
			return k.setDuration(v, into)
		}
	case *string:
		if v, ok := value.(string); ok {
			return k.setText(v, into)
		}
	}
	return k.wrongType(value)
}

// wrongType says that a value is not of the kind.
func (k *key) wrongType(value any) (what, cure string) {
	return fmt.Sprintf("must be %s, not %s", k.wants(), typeName(value)), fmt.Sprintf("write %s = %s", k.name, k.show())
}

func (k *key) setInteger(v int64, into *int) (what, cure string) {
	most := k.most
	if most == 0 {
		most = math.MaxInt32
	}
	if v < k.least || v > most {
		return fmt.Sprintf("is %d, out of its range", v), fmt.Sprintf("write a number from %d to %d", k.least, most)
	}
	*into = int(v)
	return "", ""
}

func (k *key) setNumber(v float64, into *float64) (what, cure string) {
	if !(v >= float64(k.least) && v <= float64(k.most)) { // NaN is not, either
		return fmt.Sprintf("is %v, out of its range", v), fmt.Sprintf("write a number from %d to %d", k.least, k.most)
	}
	*into = v
	return "", ""
}

func (k *key) setSize(text string, into *int64) (what, cure string) {
	v, what, cure := parseSize(text)
	switch {
	case what != "":
		return what, cure
	case v < k.least:
		return fmt.Sprintf("%q is too small", text), fmt.Sprintf("the least is %q", formatSize(k.least))
	case k.most > 0 && v > k.most:
		return fmt.Sprintf("%q is too large", text), fmt.Sprintf("the most is %q", formatSize(k.most))
	}
	*into = v
	return "", ""
}

func (k *key) setDuration(text string, into *time.Duration) (what, cure string) {
	v, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is not a duration", text), `write one such as "500ms", "10s" or "1m30s"`
	case v < time.Duration(k.least):
		return fmt.Sprintf("%q is too short", text), fmt.Sprintf("the least is %q", time.Duration(k.least))
	case k.most > 0 && v > time.Duration(k.most):
		return fmt.Sprintf("%q is too long", text), fmt.Sprintf("the most is %q", time.Duration(k.most))
	}
	*into = v
	return "", ""
}

func (k *key) setText(text string, into *string) (what, cure string) {
	if what, cure = k.checkText(text); what == "" {
		*into = text
	}
	return what, cure
}

// checkText holds a string against choices and check.
func (k *key) checkText(text string) (what, cure string) {
	if k.choices != nil {
		var quoted []string
		for _, choice := range k.choices {
			if choice == text {
				return "", ""
			}
			quoted = append(quoted, strconv.Quote(choice))
		}
		return fmt.Sprintf("is %q", text), "write " + strings.Join(quoted, " or ")
	}
	if k.check != nil {
		return k.check(text)
	}
	return "", ""
}

// setDefaults gives the keys of a section that go straight into a field their defaults. Those that are inherited
// come from c, which has been read.
func (s *section) setDefaults(c *Config, app *App) {
	for i := range s.keys {
		k := &s.keys[i]
		switch {
		case k.into == nil:
		case k.inherits != "":
			copyValue(k.into(c, app), keyAt(k.inherits).into(c, app))
		case k.standard != "":
			if what, _ := k.set(literal(k.standard), k.into(c, app)); what != "" {
				panic("config: the default of " + s.header + " " + k.name + ": " + what)
			}
		}
	}
}

// copyValue copies what from points to; both are of the type of one field.
func copyValue(to, from any) {
	switch to := to.(type) {
	case *int64:
		*to = *from.(*int64)
	case *time.Duration:
		*to = *from.(*time.Duration)
	default:
		panic(fmt.Sprintf("config: %T is not inherited", to))
	}
}

// literal decodes a default, which is a string, whole number or boolean in TOML, written as Go writes it.
func literal(text string) any {
	if unquoted, err := strconv.Unquote(text); err == nil {
		return unquoted
	}
	if number, err := strconv.ParseInt(text, 10, 64); err == nil {
		return number
	}
	if number, err := strconv.ParseFloat(text, 64); err == nil {
		return number
	}
	if value, err := strconv.ParseBool(text); err == nil {
		return value
	}
	panic("config: not a default: " + text)
}
