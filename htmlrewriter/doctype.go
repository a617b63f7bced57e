package htmlrewriter

import "strings"

// doctypeOf gives the name, the public and the system identifier of a doctype (HTML 13.2.5.53 to 13.2.5.67); those
// that are missing are nil.
func doctypeOf(raw string) [3]*string {
	var parts [3]*string
	rest := trimSpace(strings.TrimSuffix(raw[min(len(raw), len("<!doctype")):], ">"))
	if rest == "" {
		return parts
	}
	end := strings.IndexAny(rest, " \t\n\r\f")
	if end < 0 {
		end = len(rest)
	}
	name := lowerCase(rest[:end])
	parts[0] = &name
	rest = trimSpace(rest[end:])
	if len(rest) < len("public") {
		return parts
	}
	keyword, after := strings.ToLower(rest[:6]), trimSpace(rest[6:])
	switch keyword {
	case "public":
		parts[1], after = quotedText(after)
		if parts[1] != nil {
			parts[2], _ = quotedText(trimSpace(after))
		}
	case "system":
		parts[2], _ = quotedText(after)
	}
	return parts
}

func trimSpace(text string) string { return strings.Trim(text, " \t\n\r\f") }

// quotedText takes a quoted text off the beginning.
func quotedText(text string) (value *string, rest string) {
	if text == "" || text[0] != '"' && text[0] != '\'' {
		return nil, text
	}
	content, rest, _ := strings.Cut(text[1:], text[:1])
	return &content, rest
}
