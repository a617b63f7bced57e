package config

// feature is a part of the documented configuration that this version does not have. A file that
// uses it is refused: whoever writes a limit relies on it.
type feature struct {
	key   string // table and key, or a whole table: "isolates.memory", "admin"
	value string // only this value of the key is missing; "": the key itself
	plan  string // what it will do
}

// unavailable is the one list of what is documented but missing. Delete a line when its feature
// arrives, and read the key in read.go.
var unavailable = []feature{
	{"app.main", ".ts", "strip types while loading; compile to .js for now"},
	{"app.main", ".tsx", "strip types and JSX while loading; compile to .js for now"},
	{"app.main", ".jsx", "translate JSX while loading; compile to .js for now"},
}

// missing finds key with value (or key as a whole, if value is "") among what is unavailable.
func missing(key, value string) (what string, found bool) {
	for _, f := range unavailable {
		if f.key == key && f.value == value {
			return "not available in this version: it will " + f.plan, true
		}
	}
	return "", false
}
