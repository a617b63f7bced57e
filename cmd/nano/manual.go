package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"nano/config"
)

// manualCommand is the name of the command that prints the manual pages, nano(1) and nano.toml(5), for whoever makes a
// package. It is not for users: `nano manual 1 | man -l -`.
const manualCommand = "manual"

func runManual(s *streams, args []string) error {
	page := ""
	if len(args) == 1 {
		page = map[string]string{"1": "1", "5": "5"}[args[0]]
	}
	switch page {
	case "1":
		_, err := io.WriteString(s.out, commandManual(describeCommands()))
		return err
	case "5":
		_, err := io.WriteString(s.out, fileManual(config.Reference()))
		return err
	}
	return usageError{"name 1 or 5"}
}

// roffText escapes what troff would take for its own.
func roffText(text string) string {
	text = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

var (
	markdownCode = regexp.MustCompile("`([^`]+)`")
	markdownBold = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	markdownSee  = regexp.MustCompile(`\[((?:\[+[^\]]*\]+)|[^\[\]]+)\]\([^)]*\)`)
)

// roffMarkdown writes a line of Markdown for troff: code and what is emphasised in bold, links as their text.
func roffMarkdown(text string) string {
	text = markdownSee.ReplaceAllString(text, "$1")
	// Marks that no text holds stand for the two fonts while it is escaped.
	text = markdownCode.ReplaceAllString(text, "\x01$1\x02")
	text = markdownBold.ReplaceAllString(text, "\x01$1\x02")
	return strings.NewReplacer("\x01", `\fB`, "\x02", `\fR`).Replace(roffText(text))
}

// commandManual is nano(1).
func commandManual(all []described) string {
	var b strings.Builder
	b.WriteString(".TH NANO 1 \"\" NANO \"User Commands\"\n.SH NAME\nnano \\- run Workers-style JavaScript apps on io_uring\n.SH SYNOPSIS\n")
	for _, d := range all {
		fmt.Fprintf(&b, ".B nano %s\n%s\n.br\n", d.name, roffText(d.synopsis))
	}
	b.WriteString(".SH DESCRIPTION\n" + roffText("NANO runs many tenants' Workers-style JavaScript from one Linux process. An app is an ES module with a fetch handler. "+
		"nano serve runs the node that nano.toml(5) describes; the other commands help to develop and to operate it.") + "\n.SH COMMANDS\n")
	for _, d := range all {
		fmt.Fprintf(&b, ".SS nano %s\n", roffText(strings.TrimSpace(d.name+" "+d.synopsis)))
		writeRoffBlock(&b, d.text)
		for _, f := range d.flags {
			value := ""
			if !isSwitch(f) && f.DefValue != "" {
				value = " (" + f.DefValue + ")"
			}
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roffText(dashed(f.Name)), roffText(usageOf(f)+value))
		}
	}
	b.WriteString(".SH EXIT STATUS\n.TP\n.B 0\nAll is well.\n.TP\n.B 1\nIt failed; a line on standard error says why, or one for each problem.\n" +
		".TP\n.B 2\nThe command line is wrong.\n.SH FILES\n.TP\n.I /etc/nano/nano.toml\nThe configuration of the service.\n" +
		".TP\n.I /var/lib/nano\nIts state: snapshots of apps and uploaded versions.\n.SH SEE ALSO\n.BR nano.toml (5),\n.BR systemctl (1)\n")
	return b.String()
}

// writeRoffBlock writes the text of a help: paragraphs between empty lines, and lines that are indented as they are.
func writeRoffBlock(b *strings.Builder, text string) {
	isExample := false
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, " "); indented != isExample && line != "" {
			isExample = indented
			b.WriteString(map[bool]string{true: ".PP\n.nf\n", false: ".fi\n"}[indented])
		}
		if line == "" {
			b.WriteString(".PP\n")
		} else {
			b.WriteString(roffText(line) + "\n")
		}
	}
	if isExample {
		b.WriteString(".fi\n")
	}
}

// fileManual is nano.toml(5).
func fileManual(tables []config.TableReference) string {
	var b strings.Builder
	b.WriteString(".TH NANO.TOML 5 \"\" NANO \"File Formats\"\n.SH NAME\nnano.toml \\- configuration of a NANO node\n.SH DESCRIPTION\n")
	for _, line := range []string{
		"One TOML file describes a node. `nano serve` reads `nano.toml` in the working directory, or the file after `-c`; the service reads `/etc/nano/nano.toml`. `nano check` tells what is wrong with one.",
		"Relative paths are taken from the file's folder. An unknown key, a value of the wrong type or out of its range is an error with file, line and column, and nothing starts.",
		"Sizes are a whole number and a unit, B, KiB, MiB, GiB or TiB: `\"64KiB\"`. Durations are those of Go: `\"500ms\"`, `\"10s\"`, `\"1m30s\"`.",
	} {
		b.WriteString(roffMarkdown(line) + "\n.PP\n")
	}
	for _, table := range tables {
		fmt.Fprintf(&b, ".SH \"%s\"\n%s\n", roffText(table.Header), roffMarkdown(table.About))
		for _, k := range table.Keys {
			fmt.Fprintf(&b, ".TP\n.BR %s \" = %s\"\n%s.\n", roffText(k.Name), strings.ReplaceAll(roffText(k.Example), `"`, `\(dq`), roffMarkdown(k.Meaning))
			if text := k.Bounds(); text != "" {
				b.WriteString(roffMarkdown(text) + ".\n")
			}
		}
	}
	b.WriteString(".SH FILES\n.I /etc/nano/nano.toml\n.SH SEE ALSO\n.BR nano (1)\n")
	return b.String()
}
