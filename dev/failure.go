package dev

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"

	"nano/bundle"
)

// failure is something that went wrong, as people read it.
type failure struct {
	App     string // "": the configuration
	Kind    string // "does not build"
	Message string // one line or more
	Stack   []frame
	Places  []place // the source, with the most telling place first
	Note    string  // what follows of it, or the cure
}

// frame is a line of a stack.
type frame struct {
	Text  string // as V8 has it, without spaces before it
	IsOwn bool   // it is in a file of the app
}

// place is where in a source something went wrong.
type place struct {
	File         string // as people know it
	Line, Column int    // from 1, the column in UTF-16 code units; 0: all of the file, or line
	Text         string // of a diagnostic; "": that of the failure
	Lines        []sourceLine
}

// sourceLine is a line around a place.
type sourceLine struct {
	Number     int
	Text       string
	IsMarked   bool
	HasPointer bool   // a marker stands under it, of a marked line with a column
	Pointer    string // the space before the marker
}

// At is "file:line:column".
func (p *place) At() string {
	at := p.File
	if p.Line > 0 {
		at += ":" + strconv.Itoa(p.Line)
		if p.Column > 0 {
			at += ":" + strconv.Itoa(p.Column)
		}
	}
	return at
}

const (
	// linesAround is how many lines are shown before and after that of a place.
	linesAround = 3
	// lineBytesMax is how much is shown of a line.
	lineBytesMax = 400
	// sourceBytesMax is the largest file of which lines are shown.
	sourceBytesMax = 8 << 20
	// placesMax is how many places of a failure are shown.
	placesMax = 5
	// framesMax and messageMax bound what is shown of an app's own text.
	framesMax  = 60
	messageMax = 16 << 10
)

// sources are the files whose lines may be shown: an app chooses what its errors say, and must not have other files
// of the machine read. By the path that messages have; the value is where the file lies.
type sources interface {
	find(name string) (path string, ok bool)
}

// newPlace makes a place, with the lines around it if the file may be read and can.
func newPlace(files sources, file string, line, column int) place {
	p := place{File: file, Line: line, Column: column}
	path, ok := files.find(file)
	if !ok || line < 1 {
		return p
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > sourceBytesMax {
		return p
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return p
	}
	p.excerpt(content)
	return p
}

// excerpt takes the lines around the place out of a file.
func (p *place) excerpt(content []byte) {
	number := 0
	for len(content) > 0 && number < p.Line+linesAround {
		text, rest, _ := bytes.Cut(content, []byte("\n"))
		content = rest
		if number++; number < p.Line-linesAround {
			continue
		}
		line := sourceLine{Number: number, Text: shownLine(text), IsMarked: number == p.Line}
		if line.IsMarked && p.Column > 0 {
			line.HasPointer, line.Pointer = true, pointerTo(line.Text, p.Column)
		}
		p.Lines = append(p.Lines, line)
	}
}

func shownLine(text []byte) string {
	text = bytes.TrimSuffix(text, []byte("\r"))
	if len(text) > lineBytesMax {
		text = append(text[:lineBytesMax:lineBytesMax], "…"...)
	}
	return strings.ToValidUTF8(string(text), "\ufffd")
}

// pointerTo is the space before a column of a line: tabs where it has tabs.
func pointerTo(line string, column int) string {
	var space strings.Builder
	units := 1
	for _, r := range line {
		if units >= column {
			break
		}
		units += max(utf16.RuneLen(r), 1)
		if r == '\t' {
			space.WriteByte('\t')
		} else {
			space.WriteByte(' ')
		}
	}
	return space.String()
}

// placeInText is a place in a line of a message: "src/index.ts:12:5", perhaps in parentheses or after "file://".
var (
	stackLine   = regexp.MustCompile(`^\s*at (?:.*\()?(?:file://)?([^()\s][^()]*?):(\d+):(\d+)\)?$`)
	leadingLine = regexp.MustCompile(`^([^\s:][^:]*):(\d+)(?::(\d+))?: (.*)$`)
)

// fromError makes a failure of an error with its stack, as apps and the isolates' starts have it.
func fromError(files sources, text, source string) *failure {
	if len(text) > messageMax {
		text = strings.ToValidUTF8(text[:messageMax], "") + "…"
	}
	f := &failure{}
	var message []string
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		found := stackLine.FindStringSubmatch(line)
		if found == nil && !strings.HasPrefix(strings.TrimSpace(line), "at ") {
			message = append(message, line)
			continue
		}
		if len(f.Stack) == framesMax {
			continue
		}
		next := frame{Text: strings.TrimSpace(line)}
		if found != nil {
			_, next.IsOwn = files.find(found[1])
			f.addPlace(files, seen, found[1], found[2], found[3])
		}
		f.Stack = append(f.Stack, next)
	}
	f.Message = strings.TrimSpace(strings.Join(message, "\n"))
	if found := leadingLine.FindStringSubmatch(firstLine(f.Message)); found != nil && len(f.Places) == 0 {
		if _, isOwn := files.find(found[1]); isOwn {
			f.Message = strings.TrimPrefix(f.Message, f.Message[:len(firstLine(f.Message))-len(found[4])])
			f.addPlace(files, seen, found[1], found[2], found[3])
		}
	}
	if found := leadingLine.FindStringSubmatch(source + ": "); found != nil && len(f.Places) == 0 {
		f.addPlace(files, seen, found[1], found[2], found[3])
	}
	return f
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// addPlace adds a place of the app's own.
func (f *failure) addPlace(files sources, seen map[string]bool, file, line, column string) {
	at := file + ":" + line + ":" + column
	if _, isOwn := files.find(file); !isOwn || seen[at] || len(f.Places) == placesMax {
		return
	}
	seen[at] = true
	l, _ := strconv.Atoi(line)
	c, _ := strconv.Atoi(column)
	f.Places = append(f.Places, newPlace(files, file, l, c))
}

// fromBuild makes a failure of why an app cannot be read or started.
func fromBuild(files sources, err error) *failure {
	var diagnostics *bundle.Diagnostics
	if !errors.As(err, &diagnostics) || len(diagnostics.List) == 0 {
		return fromError(files, err.Error(), "")
	}
	f := &failure{}
	for i := range diagnostics.List {
		d := &diagnostics.List[i]
		text := d.Text
		if d.Note != "" {
			text += "\n" + d.Note
		}
		if len(f.Places) == placesMax {
			f.Note = fmt.Sprintf("%d more", len(diagnostics.List)-i)
			break
		}
		p := newPlace(files, d.File, d.Line, d.Column)
		p.Text = text
		if len(p.Lines) == 0 && d.LineText != "" {
			p.Lines = []sourceLine{{d.Line, shownLine([]byte(d.LineText)), true, d.Column > 0, pointerTo(d.LineText, d.Column)}}
		}
		f.Places = append(f.Places, p)
	}
	f.Message = firstLine(f.Places[0].Text)
	return f
}

// text is a failure as plain text.
func (f *failure) text() string {
	var out strings.Builder
	out.WriteString("nano: ")
	if f.App != "" {
		out.WriteString(f.App + ": ")
	}
	fmt.Fprintf(&out, "%s: %s\n", f.Kind, f.Message)
	for _, each := range f.Stack {
		fmt.Fprintf(&out, "    %s\n", each.Text)
	}
	for i := range f.Places {
		p := &f.Places[i]
		out.WriteString("\n" + p.At())
		if p.Text != "" && i > 0 {
			out.WriteString(": " + strings.ReplaceAll(p.Text, "\n", "; "))
		}
		out.WriteString("\n")
		p.write(&out)
	}
	if f.Note != "" {
		out.WriteString("\n" + f.Note + "\n")
	}
	return out.String()
}

// write appends the lines of a place.
func (p *place) write(out *strings.Builder) {
	for _, line := range p.Lines {
		mark := " "
		if line.IsMarked {
			mark = ">"
		}
		fmt.Fprintf(out, "%s %5d | %s\n", mark, line.Number, line.Text)
		if line.HasPointer {
			fmt.Fprintf(out, "        | %s^\n", line.Pointer)
		}
	}
}

// inputFiles are the files of an app, by absolute path.
type inputFiles struct {
	base  string
	paths map[string]bool
}

// find implements sources.
func (f inputFiles) find(name string) (path string, ok bool) {
	if path = name; !filepath.IsAbs(name) {
		path = filepath.Join(f.base, name)
	}
	return path, f.paths[path]
}
