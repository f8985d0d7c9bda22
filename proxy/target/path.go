package target

import (
	"net/url"
	"strings"
)

// OriginForm reports whether a request target is in origin-form (RFC 9112 section
// 3.2.1), of visible ASCII and without a fragment, which no request target has.
func OriginForm(target string) bool {
	if target == "" || target[0] != '/' {
		return false
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c > '~' || c == '#' {
			return false
		}
	}
	return true
}

// SafePath refuses every path that some upstream might normalise into another one: by
// decoding twice, by resolving dots, by merging slashes, by taking a backslash for a
// slash, by cutting at a semicolon, by folding letters beyond ASCII. It repairs
// nothing. One trailing slash is left to upstream, which redirects it.
func SafePath(path string) bool {
	depth, last := 0, strings.Count(path, "/")-1
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" && depth < last || !segmentSafe(segment) || isDots(segment) {
			return false
		}
		depth++
	}
	return true
}

// segmentSafe refuses a backslash, a semicolon, broken percent-encodings, and
// those that hide a delimiter, a control byte, another percent sign or a byte
// beyond ASCII. No published path has a name or an id with such a letter, and
// one reader makes another letter, a dot or a slash of it.
func segmentSafe(segment string) bool {
	for i := 0; i < len(segment); i++ {
		switch segment[i] {
		case '\\', ';':
			return false
		case '%':
		default:
			continue
		}
		if i+2 >= len(segment) {
			return false
		}
		high, low := unhex(segment[i+1]), unhex(segment[i+2])
		if high < 0 || low < 0 {
			return false
		}
		c := byte(high<<4 | low)
		if c < ' ' || c >= 0x7f || strings.IndexByte(`/\.%;#?`, c) >= 0 {
			return false
		}
		i += 2
	}
	return true
}

// unescaped decodes a segment whose escapes are whole.
func unescaped(segment string) string {
	plain, err := url.PathUnescape(segment)
	if err != nil {
		return segment
	}
	return plain
}

// isDots reports whether a segment is "." or "..", with or without blanks around it.
func isDots(segment string) bool {
	if segment == "" || segment[0] != '.' && segment[0] != '%' && segment[0] != '+' {
		return false
	}
	plain := strings.Trim(unescaped(segment), " +")
	return plain == "." || plain == ".."
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// TouchesAuth reports whether any segment reads "auth", in any case, plain
// or percent-encoded, with blanks and dots around it or not. No published path
// but those of the token endpoint has such a segment. path is safe already.
func TouchesAuth(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if len(segment) >= len("auth") && isAuth(segment) {
			return true
		}
	}
	return false
}

func isAuth(segment string) bool {
	return strings.EqualFold(strings.Trim(unescaped(segment), " +."), "auth")
}

// Folded returns a segment as the most forgiving reader sees it: decoded, in lower
// case, without blanks and dots around it. ok is false if no path may have it.
func Folded(segment string) (folded string, ok bool) {
	if !segmentSafe(segment) {
		return "", false
	}
	return strings.ToLower(strings.Trim(unescaped(segment), " +.")), true
}
