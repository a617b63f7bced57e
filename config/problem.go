package config

import (
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file: line and column (in bytes) from 1. The zero Position is none.
type Position struct {
	Line, Column int
}

// Problem is one thing that is wrong in a configuration file.
type Problem struct {
	File string
	At   Position
	Key  string // where, in the terms of the file: "[server] loops"; may be empty
	What string // what is wrong with it
	Cure string // what to write instead; may be empty
}

// Error is the problem in one line: "nano.toml:3:9: [server] loops: what; cure".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File + ": ")
	if p.At.Line > 0 {
		b.Reset()
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.At.Line, p.At.Column)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(sentence(p.What, p.Cure))
	return b.String()
}

func sentence(what, cure string) string {
	if cure == "" {
		return what
	}
	return what + "; " + cure
}

// Problems is every problem of a file, in the order of the file.
type Problems []Problem

// Error is one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		if a.At.Line != b.At.Line {
			return a.At.Line - b.At.Line
		}
		return a.At.Column - b.At.Column
	})
}
