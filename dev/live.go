package dev

import (
	"bytes"
	_ "embed"
	"mime"
	"net/http"
	"regexp"
	"strings"

	"nano/loop"
)

//go:embed live.js
var liveText string

// liveCompact is the script without what only its readers need.
var liveCompact = regexp.MustCompile(`(?m)^\s*(//.*\n)?`).ReplaceAllString(liveText, "")

// liveScript is what has a page of a generation load itself anew when there is another one.
func liveScript(generation string) string {
	return strings.NewReplacer("GENERATION", generation, "EVENTS", EventsPath).Replace(strings.TrimSpace(liveCompact))
}

// Page implements loop.Developer: a page that an app answers a browser with loads itself anew when something has
// changed, by a script after its end. It is left alone where it is not the whole page as it will be read, or has a
// policy that the script would break.
func (d *Developer) Page(_ *loop.DevRequest, status int, lines []byte) (added string) {
	if d.options.NoLiveReload || status == http.StatusPartialContent {
		return ""
	}
	var policies []string
	isHTML := false
	for len(lines) != 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "content-type":
			isHTML = isPlainHTML(value)
		case "content-encoding":
			if !strings.EqualFold(value, "identity") {
				return ""
			}
		case "content-range", "content-digest", "repr-digest", "digest", "content-md5":
			return ""
		case "content-disposition":
			if kind, _, _ := strings.Cut(value, ";"); !strings.EqualFold(strings.TrimSpace(kind), "inline") {
				return ""
			}
		case "content-security-policy":
			policies = append(policies, strings.Split(value, ",")...)
		}
	}
	nonce, isAllowed := allowsLive(policies)
	if !isHTML || !isAllowed {
		return ""
	}
	if nonce != "" {
		nonce = ` nonce="` + nonce + `"`
	}
	d.mutex.Lock()
	generation := d.generationLocked()
	d.mutex.Unlock()
	return "<script" + nonce + ">" + liveScript(generation) + "</script>"
}

// isPlainHTML tells whether a content-type is that of HTML in which ASCII is what it looks like.
func isPlainHTML(value string) bool {
	kind, parameters, err := mime.ParseMediaType(value)
	charset := strings.ToLower(parameters["charset"])
	return err == nil && kind == "text/html" && !strings.HasPrefix(charset, "utf-16") && !strings.HasPrefix(charset, "utf-32")
}

// nonceForm is the form of a nonce, of which nothing needs to be escaped in HTML.
var nonceForm = regexp.MustCompile(`^[A-Za-z0-9+/_=-]+$`)

// allowsLive tells whether all of the policies of a page (CSP Level 3) let it run a script that stands in it, with the
// nonce that this takes, and connect to its origin.
func allowsLive(policies []string) (nonce string, ok bool) {
	nonces := map[string]int{} // how many policies want each
	wanting := 0
	for _, policy := range policies {
		directives := map[string][]string{}
		for directive := range strings.SplitSeq(policy, ";") {
			words := strings.Fields(directive)
			if len(words) == 0 {
				continue
			}
			name := strings.ToLower(words[0])
			if _, isAgain := directives[name]; !isAgain { // then it does not count
				directives[name] = words[1:]
			}
		}
		if flags, isSandboxed := directives["sandbox"]; isSandboxed && !(hasWord(flags, "allow-scripts") && hasWord(flags, "allow-same-origin")) {
			return "", false
		}
		if sources, isLimited := firstOf(directives, "connect-src", "default-src"); isLimited && !hasWord(sources, "'self'") && !hasWord(sources, "*") {
			return "", false
		}
		sources, isLimited := firstOf(directives, "script-src-elem", "script-src", "default-src")
		if !isLimited {
			continue
		}
		isInline := hasWord(sources, "'unsafe-inline'") && !hasWord(sources, "'strict-dynamic'")
		var own []string
		for _, source := range sources {
			value, isNonce := strings.CutPrefix(strings.Trim(source, "'"), "nonce-")
			isHash := strings.HasPrefix(strings.ToLower(source), "'sha")
			if isInline = isInline && !isNonce && !isHash; isNonce && nonceForm.MatchString(value) {
				own = append(own, value)
			}
		}
		if isInline {
			continue
		}
		wanting++
		for _, each := range own {
			nonces[each]++
		}
	}
	for each, n := range nonces {
		if n == wanting {
			return each, true
		}
	}
	return "", wanting == 0
}

func firstOf(directives map[string][]string, names ...string) (sources []string, ok bool) {
	for _, name := range names {
		if sources, ok = directives[name]; ok {
			return sources, true
		}
	}
	return nil, false
}

func hasWord(words []string, word string) bool {
	for _, each := range words {
		if strings.EqualFold(each, word) {
			return true
		}
	}
	return false
}
