package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// described is what completion and manual tell of a command.
type described struct {
	command
	text  string // of its help
	flags []*flag.Flag
}

// words are what its first operand may be, where its synopsis names them: "bash|zsh|fish"; of apps its commands.
func (d *described) words() []string {
	if d.name == "apps" {
		var names []string
		for _, c := range appsCommands {
			names = append(names, c.name)
		}
		return names
	}
	first, _, _ := strings.Cut(d.synopsis, " ")
	words := strings.Split(first, "|")
	if len(words) < 2 || strings.ContainsAny(first, "[]<>") {
		return nil
	}
	return words
}

// describeCommands asks each command for its flags.
func describeCommands() []described {
	var all []described
	for _, c := range commands {
		if c.run == nil {
			continue
		}
		d := described{command: c}
		// Each parses its flags before it does anything else, and does nothing else then.
		_ = c.run(&streams{out: io.Discard, err: io.Discard, describe: func(flags *commandFlags) {
			d.text = flags.text
			flags.VisitAll(func(f *flag.Flag) { d.flags = append(d.flags, f) })
		}}, nil)
		all = append(all, d)
	}
	return all
}

func runCompletion(s *streams, args []string) error {
	flags := newFlags(s, "completion", `Prints a script that completes nano's commands and flags. The package installs all three; by hand:

  nano completion bash > ~/.local/share/bash-completion/completions/nano
  nano completion zsh > a folder of $fpath, as _nano
  nano completion fish > ~/.config/fish/completions/nano.fish
`)
	operands, err := parseFlags(flags, args, "shell")
	if err != nil {
		return err
	}
	scripts := map[string]func([]described) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	script, known := scripts[operands[0]]
	if !known {
		return usageError{fmt.Sprintf("%q is none of the shells bash, zsh and fish", operands[0])}
	}
	_, err = io.WriteString(s.out, script(describeCommands()))
	return err
}

// isSwitch reports whether a flag takes no value.
func isSwitch(f *flag.Flag) bool {
	value, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && value.IsBoolFlag()
}

// dashed is a flag as the documentation writes it: -c, --listen.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// usageOf is what a flag is for, in one line and without quotes around the name of its value.
func usageOf(f *flag.Flag) string {
	_, usage := flag.UnquoteUsage(f)
	return strings.Join(strings.Fields(usage), " ")
}

func bashCompletion(all []described) string {
	var names []string
	var b strings.Builder
	b.WriteString("# bash completion for nano\n_nano() {\n  local word=${COMP_WORDS[COMP_CWORD]} words=\n  COMPREPLY=()\n  if ((COMP_CWORD > 1)); then\n    case ${COMP_WORDS[1]} in\n")
	for i := range all {
		d := &all[i]
		names = append(names, d.name)
		var flags []string
		for _, f := range d.flags {
			flags = append(flags, dashed(f.Name))
		}
		fmt.Fprintf(&b, "      %s)\n        if [[ $word == -* ]]; then words=%q\n", d.name, strings.Join(append(flags, "-h"), " "))
		if words := d.words(); words != nil {
			fmt.Fprintf(&b, "        elif ((COMP_CWORD == 2)); then words=%q\n", strings.Join(words, " "))
		}
		b.WriteString("        fi ;;\n")
	}
	fmt.Fprintf(&b, "    esac\n  else\n    words=%q\n  fi\n", strings.Join(names, " "))
	b.WriteString("  # Without words of ours, names of files.\n  [[ -z $words ]] || mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\ncomplete -o bashdefault -o default -F _nano nano\n")
	return b.String()
}

// zshText keeps a description from being taken for syntax.
func zshText(text string) string {
	return strings.NewReplacer(`'`, `'\''`, `[`, `\[`, `]`, `\]`, `:`, `\:`).Replace(text)
}

func zshCompletion(all []described) string {
	var b strings.Builder
	b.WriteString("#compdef nano\n\n_nano() {\n  local -a commands\n  commands=(\n")
	for _, d := range all {
		fmt.Fprintf(&b, "    '%s:%s'\n", d.name, zshText(d.does))
	}
	b.WriteString("  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    return\n  fi\n  case ${words[2]} in\n")
	for i := range all {
		d := &all[i]
		fmt.Fprintf(&b, "    %s)\n      shift words; ((CURRENT--))\n      _arguments '-h[tell more]'", d.name)
		for _, f := range d.flags {
			value := ":value:_files"
			if isSwitch(f) {
				value = ""
			}
			fmt.Fprintf(&b, " \\\n        '%s[%s]%s'", dashed(f.Name), zshText(usageOf(f)), value)
		}
		if words := d.words(); words != nil {
			fmt.Fprintf(&b, " \\\n        '1:what:(%s)'", strings.Join(words, " "))
		}
		b.WriteString(" \\\n        '*:file:_files' ;;\n")
	}
	b.WriteString("  esac\n}\n\n_nano \"$@\"\n")
	return b.String()
}

// fishText quotes a description for fish.
func fishText(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

func fishCompletion(all []described) string {
	var b strings.Builder
	b.WriteString("# fish completion for nano\n")
	for i := range all {
		d := &all[i]
		fmt.Fprintf(&b, "complete -c nano -n __fish_use_subcommand -f -a %s -d %s\n", d.name, fishText(d.does))
		condition := fishText("__fish_seen_subcommand_from " + d.name)
		if words := d.words(); words != nil {
			fmt.Fprintf(&b, "complete -c nano -n %s -f -a %s\n", condition, fishText(strings.Join(words, " ")))
		}
		for _, f := range d.flags {
			form, value := "-l", " -r"
			if len(f.Name) == 1 {
				form = "-s"
			}
			if isSwitch(f) {
				value = ""
			}
			fmt.Fprintf(&b, "complete -c nano -n %s %s %s%s -d %s\n", condition, form, f.Name, value, fishText(usageOf(f)))
		}
	}
	return b.String()
}
