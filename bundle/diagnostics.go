package bundle

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/evanw/esbuild/pkg/api"

	"nano/isolates"
)

// Diagnostics are everything that is wrong with the files of an app.
type Diagnostics struct {
	List []Diagnostic
	// Inputs are what to watch for the cure, as Result.Inputs.
	Inputs []string
}

// Error has a line for each, "file:line:column: what".
func (d *Diagnostics) Error() string {
	lines := make([]string, len(d.List))
	for i := range d.List {
		lines[i] = d.List[i].String()
	}
	return strings.Join(lines, "\n")
}

// Diagnostic is one thing that is wrong.
type Diagnostic struct {
	File     string `json:"file,omitempty"`      // relative to Options.Base if it lies there; "": no file of the app's
	Line     int    `json:"line,omitempty"`      // from 1; 0: all of the file
	Column   int    `json:"column,omitempty"`    // from 1, in UTF-16 code units as V8 counts
	Text     string `json:"text"`                // what is wrong
	LineText string `json:"line_text,omitempty"` // the line in the file
	Note     string `json:"note,omitempty"`      // why, or the cure; "": nothing more is known
}

// String is "file:line:column: what: note".
func (d *Diagnostic) String() string {
	var text strings.Builder
	if d.File != "" {
		text.WriteString(d.File)
		if d.Line > 0 {
			fmt.Fprintf(&text, ":%d:%d", d.Line, d.Column)
		}
		text.WriteString(": ")
	}
	text.WriteString(d.Text)
	if d.Note != "" {
		text.WriteString(": " + d.Note)
	}
	return strings.ReplaceAll(text.String(), "\n", " ")
}

// translate says in our words what esbuild has found.
func translate(messages []api.Message, o *Options) []Diagnostic {
	list := make([]Diagnostic, 0, len(messages))
	for i := range messages {
		m := &messages[i]
		if m.ID == "ignored-bare-import" && strings.Contains(m.Text, "/"+unenv+"/") {
			continue // it is as with the module of Node.js: to load it does nothing
		}
		d := Diagnostic{Text: m.Text, Note: o.noteOf(m)}
		if o.isOutside(m.Location) { // such as what a tsconfig.json extends: its text is not the project's to see
			d = Diagnostic{File: o.absolute(m.Location.File), Text: "cannot be used: " + isolates.ErrOutside.Error()}
		} else if at := m.Location; at != nil {
			d.File, d.Line, d.LineText = at.File, at.Line, at.LineText
			d.Column = len(utf16.Encode([]rune(at.LineText[:min(at.Column, len(at.LineText))]))) + 1
			if strings.HasPrefix(d.File, "../") {
				d.File = o.absolute(d.File)
			}
		}
		if found := notResolved.FindStringSubmatch(m.Text); found != nil {
			d.Text, d.Note = explainUnresolved(found[1], d.Note)
		}
		list = append(list, d)
	}
	return list
}

var notResolved = regexp.MustCompile(`^Could not resolve "(.*)"$`)

// isOutside tells whether a message is about a file outside of Root.
func (o *Options) isOutside(at *api.Location) bool {
	if at == nil || at.Namespace != "" && at.Namespace != "file" {
		return false
	}
	return !isolates.Within(o.Root, o.absolute(at.File))
}

// absolute is the path of a file in a message.
func (o *Options) absolute(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(o.Base, file)
}

// noteOf is the first of esbuild's notes, unless it tells how to set up esbuild.
func (o *Options) noteOf(m *api.Message) string {
	for _, note := range m.Notes {
		if note.Text == "" || o.isOutside(note.Location) || slices.ContainsFunc(esbuildAdvice, func(part string) bool { return strings.Contains(note.Text, part) }) {
			continue
		}
		return strings.TrimSuffix(note.Text, ".")
	}
	return ""
}

var esbuildAdvice = []string{"You can mark the path", "bundle for node", "resolver plugin", "main fields", "--platform"}

// explainUnresolved says why an import leads nowhere, and what helps.
func explainUnresolved(specifier, note string) (text, cure string) {
	if isRelative(specifier) || filepath.IsAbs(specifier) {
		return fmt.Sprintf("cannot import %q: no such file", specifier), note
	}
	name := packageName(specifier)
	if isNodeModule(specifier) {
		return noNodeModule(specifier)
	}
	text = fmt.Sprintf("cannot find the package %q", name)
	if note != "" && name != specifier {
		return fmt.Sprintf("cannot import %q", specifier), note
	}
	return text, fmt.Sprintf("run \"npm install %s\" in the project's folder", name)
}

func isRelative(specifier string) bool {
	return specifier == "." || specifier == ".." || strings.HasPrefix(specifier, "./") || strings.HasPrefix(specifier, "../")
}

// packageName is the package that a specifier such as "@scope/name/file" names.
func packageName(specifier string) string {
	parts := strings.SplitN(specifier, "/", 3)
	if strings.HasPrefix(specifier, "@") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}
