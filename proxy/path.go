package proxy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// targetSafe: origin-form (RFC 9112 section 3.2.1) of visible ASCII, without a
// fragment, which no request target has.
func targetSafe(target string) bool {
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

// pathSafe refuses every path that some upstream might normalise into another
// one: by decoding twice, by resolving dots, by merging slashes, by taking a
// backslash for a slash, by cutting at a semicolon. It repairs nothing. One
// slash at the end is upstream's own affair: it answers with a redirect.
func pathSafe(path string) bool {
	depth, last := 0, strings.Count(path, "/")-1
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" && depth < last || !segmentSafe(segment, depth) || isDots(segment) {
			return false
		}
		depth++
	}
	return true
}

// segmentSafe refuses a backslash, a semicolon, broken percent-encodings, and
// those that hide a delimiter, a control byte or another percent sign. Beyond ASCII is refused in the first
// segments: those name resources. Further on, ids and names may have letters.
func segmentSafe(segment string, depth int) bool {
	wide := false
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
		if c < ' ' || c == 0x7f || strings.IndexByte(`/\.%;#?`, c) >= 0 || c > 0x7f && depth < 3 {
			return false
		}
		wide = wide || c > 0x7f
		i += 2
	}
	return !wide || lettersSafe(unescaped(segment))
}

// lettersSafe: well-formed UTF-8, because a decoder that does not check reads
// 0xc0 0xae as a dot; and beyond ASCII only letters, marks and digits that stay
// what they are when an upstream folds them. A wide full stop is a dot to it, a
// wide "a" an "a", and U+2100 even holds a slash.
func lettersSafe(text string) bool {
	for _, r := range text {
		if r > 0x7f && (!unicode.In(r, unicode.L, unicode.M, unicode.Nd) || unicode.Is(folding, r)) {
			return false
		}
	}
	return utf8.ValidString(text)
}

// folding are the blocks of letters and digits that Unicode keeps only for
// compatibility (NFKC makes others of them), and the letters that show nothing.
var folding = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x00aa, 0x00aa, 1}, {0x00ba, 0x00ba, 1}, {0x02b0, 0x02ff, 1}, {0x037a, 0x037a, 1},
		{0x115f, 0x1160, 1},
		{0x1d00, 0x1dbf, 1}, {0x2000, 0x2bff, 1}, {0x2c7c, 0x2c7d, 1}, {0x3000, 0x3004, 1},
		{0x3131, 0x318f, 1}, {0x3200, 0x33ff, 1}, {0xa69c, 0xa69d, 1}, {0xa700, 0xa721, 1},
		{0xa770, 0xa770, 1}, {0xa7f1, 0xa7f9, 1}, {0xab5c, 0xab5f, 1}, {0xab69, 0xab6b, 1},
		{0xfb00, 0xfdff, 1}, {0xfe10, 0xfe1f, 1}, {0xfe30, 0xffff, 1},
	},
	R32: []unicode.Range32{{0x10780, 0x107bf, 1}, {0x1cc00, 0x1ccff, 1}, {0x1d400, 0x1d7ff, 1}, {0x1ee00, 0x1fbff, 1}, {0xe0000, 0xe0fff, 1}},
	// Of these, up to U+00FF.
	LatinOffset: 2,
}

// unescaped decodes a segment whose escapes are whole.
func unescaped(segment string) string {
	if strings.IndexByte(segment, '%') < 0 {
		return segment
	}
	plain := make([]byte, 0, len(segment))
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '%' {
			c = byte(unhex(segment[i+1])<<4 | unhex(segment[i+2]))
			i += 2
		}
		plain = append(plain, c)
	}
	return string(plain)
}

// isDots: "." or "..", with blanks around it or not.
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

// pathTouchesAuth reports whether any segment reads "auth", in any case, plain
// or percent-encoded, with accents or not, with blanks and dots around it or
// not. No published path but those of the token endpoint has such a segment.
// path is safe already.
func pathTouchesAuth(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if len(segment) >= len("auth") && isAuth(segment) {
			return true
		}
	}
	return false
}

func isAuth(segment string) bool {
	const auth = "auth"
	n := 0
	for _, r := range unescaped(segment) {
		switch {
		case r == ' ' || r == '+' || r == '.' || unicode.Is(unicode.M, r):
		case n == len(auth):
			return false
		// Whatever accent a Latin letter has, some upstream may take it off.
		case r < utf8.RuneSelf && byte(r)|0x20 == auth[n], r >= utf8.RuneSelf && unicode.Is(unicode.Latin, r):
			n++
		default:
			return false
		}
	}
	return n == len(auth)
}
