package main

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"nano/config"
)

func runTypes(s *streams, args []string) error {
	flags := newFlags(s, "types", `Prints TypeScript's types of what each app of a configuration finds in env: its variables, secrets, services
and static files. They build on the package nano-types:

  nano types > env.d.ts

One app's is called Env, those of several by their names: ShopEnv, BlogEnv.
`)
	file := flags.String("c", "nano.toml", configFlagHelp)
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	configured, err := config.Inspect(*file)
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.out, envTypes(configured))
	return err
}

// envTypes are an interface for each app.
func envTypes(c *config.Config) string {
	var b strings.Builder
	b.WriteString("// What nano.toml gives the apps, by `nano types`: write it anew after a change there.\n")
	for i := range c.Apps {
		app := &c.Apps[i]
		name := "Env"
		if len(c.Apps) > 1 {
			name = typeName(app.Name) + name
		}
		fmt.Fprintf(&b, "\ninterface %s {\n", name)
		for _, key := range slices.Sorted(maps.Keys(app.Vars)) {
			fmt.Fprintf(&b, "  %s: %s;\n", propertyName(key), typeOf(app.Vars[key], "  "))
		}
		for _, key := range slices.Sorted(maps.Keys(app.Secrets)) {
			fmt.Fprintf(&b, "  %s: string;\n", propertyName(key))
		}
		for _, key := range slices.Sorted(maps.Keys(app.Services)) {
			fmt.Fprintf(&b, "  %s: NanoService;\n", propertyName(key))
		}
		if app.Static != "" {
			fmt.Fprintf(&b, "  %s: NanoAssets;\n", config.AssetsName)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// typeName makes the name of a type of an app's name: my-app is MyApp. One that begins with a digit gets an App before it.
func typeName(app string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(app, "-") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	if name := b.String(); name != "" && (name[0] < '0' || name[0] > '9') {
		return name
	}
	return "App" + b.String()
}

var identifier = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// propertyName writes the name of a property, quoted where TypeScript wants it.
func propertyName(name string) string {
	if identifier.MatchString(name) {
		return name
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range name {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// typeOf is the type of a variable. Values are not part of it: they change without the app.
func typeOf(value any, indent string) string {
	switch value := value.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case int64, float64:
		return "number"
	case []any:
		return arrayOf(value, indent)
	case []map[string]any:
		items := make([]any, len(value))
		for i := range value {
			items[i] = value[i]
		}
		return arrayOf(items, indent)
	case map[string]any:
		var b strings.Builder
		b.WriteString("{\n")
		for _, key := range slices.Sorted(maps.Keys(value)) {
			fmt.Fprintf(&b, "%s  %s: %s;\n", indent, propertyName(key), typeOf(value[key], indent+"  "))
		}
		return b.String() + indent + "}"
	}
	return "unknown"
}

// arrayOf is the type of an array: of any of the types of its items.
func arrayOf(items []any, indent string) string {
	var types []string
	for _, item := range items {
		if each := typeOf(item, indent); !slices.Contains(types, each) {
			types = append(types, each)
		}
	}
	switch len(types) {
	case 0:
		return "unknown[]"
	case 1:
		return types[0] + "[]"
	}
	return "(" + strings.Join(types, " | ") + ")[]"
}
