package target

import (
	"fmt"
	"strings"
)

// Advice says in one sentence why OriginForm or SafePath refuses a request target,
// and what to send instead. Of the target it tells a byte or an escape, and where
// that stands; "" if neither refuses it.
func Advice(target string) string {
	if !strings.HasPrefix(target, "/") {
		return "Send a target that begins with a slash, such as /v1/payables: the proxy is the app's base URL, and not an HTTP proxy for HTTP_PROXY."
	}
	path, _, _ := strings.Cut(target, "?")
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c > '~' || c == '#' {
			return adviceOnByte(c, i, i < len(path))
		}
	}
	at := 1
	for segment := range strings.SplitSeq(path[1:], "/") {
		if advice := adviceOnSegment(segment, at, at+len(segment) == len(path)); advice != "" {
			return advice
		}
		at += len(segment) + 1
	}
	return ""
}

func adviceOnByte(c byte, at int, inPath bool) string {
	what := fmt.Sprintf("Byte 0x%02X at offset %d", c, at)
	switch {
	case c == '#':
		return what + " begins a fragment (#): leave it out, or percent-encode it as %23 in the query."
	case c <= '~':
		return what + " is a blank or a control byte: percent-encode it, a blank as %20."
	case inPath:
		return what + " is not ASCII, and no path of Monite has such letters: put the text into the query or the body."
	}
	return fmt.Sprintf("%s is not ASCII: percent-encode the query's text, this byte as %%%02X (encodeURIComponent, urllib.parse.quote and the like do so).", what, c)
}

func adviceOnSegment(segment string, at int, last bool) string {
	if segment == "" && !last {
		return fmt.Sprintf("Two slashes in a row at offset %d: join the base URL and the path with one slash.", at-1)
	}
	for i := 0; i < len(segment); i++ {
		switch c := segment[i]; c {
		case '\\', ';':
			return fmt.Sprintf("Byte 0x%02X (%c) at offset %d: no path of Monite has it, so leave it out.", c, c, at+i)
		case '%':
		default:
			continue
		}
		if segmentSafe(segment[i:min(i+3, len(segment))]) {
			i += 2
			continue
		}
		return adviceOnEscape(segment[i:], at+i)
	}
	if isDots(segment) { // whose escapes are whole, as it wants
		return fmt.Sprintf("A dot segment (. or ..) at offset %d: send the path that it leads to.", at)
	}
	return ""
}

// adviceOnEscape is about a refused escape, with which text begins.
func adviceOnEscape(text string, at int) string {
	if len(text) < 3 || unhex(text[1]) < 0 || unhex(text[2]) < 0 {
		return fmt.Sprintf("The percent sign at offset %d is not followed by two hexadecimal digits: percent-encode the path once.", at)
	}
	c := unhex(text[1])<<4 | unhex(text[2])
	what := fmt.Sprintf("The escape %%%02X at offset %d of the path", c, at)
	switch {
	case c > '~':
		return what + " stands for a byte beyond ASCII, and no path of Monite has such letters: put the text into the query or the body."
	case c == '%':
		return what + " stands for a percent sign: percent-encode the path once, not twice."
	case c == '.':
		return what + " stands for a dot, as in a dot segment: send the path that it leads to, or the id as Monite gave it."
	case c < ' ':
		return what + " stands for a control byte: leave it out."
	}
	return fmt.Sprintf("%s stands for %q, which splits or ends a path: send ids as Monite gave them.", what, rune(c))
}
