package routes

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain reports whether a path has only one reading: nothing in it that an
// upstream might decode, fold or trim.
func plain(path string) bool {
	for i := range len(path) {
		if c := path[i]; c >= 'A' && c <= 'Z' || c == '%' || c == '+' || c == '.' || c >= utf8.RuneSelf {
			return false
		}
	}
	return !strings.HasSuffix(path, "/")
}

// fold returns a path as the most forgiving upstream would read it: decoded, in
// lower case, without blanks and dots around its segments, and without the
// slash at its end.
func fold(path string) string {
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	for i, segment := range segments {
		if decoded, err := url.PathUnescape(segment); err == nil {
			segment = decoded
		}
		segments[i] = strings.Trim(strings.ToLower(segment), " +.")
	}
	return strings.Join(segments, "/")
}

// visit calls found with every route that a folded path might be meant for:
// where a name and a parameter stand at one place, both.
func (n *node) visit(rest string, found func(route int)) {
	segment, rest, more := strings.Cut(rest, "/")
	next := func(child *node) {
		if more {
			child.visit(rest, found)
		} else if child.route != Other {
			found(child.route)
		}
	}
	if child := n.static[segment]; child != nil {
		next(child)
	} else if strings.IndexFunc(segment, beyondASCII) >= 0 {
		for name, child := range n.static {
			if resembles(segment, name) {
				next(child)
			}
		}
	}
	if n.param != nil {
		next(n.param)
	}
}

func beyondASCII(r rune) bool { return r >= utf8.RuneSelf }

// resembles reports whether a segment reads as name once somebody takes the
// accents off: any Latin letter beyond ASCII may become any other.
func resembles(segment, name string) bool {
	n := 0
	for _, r := range segment {
		switch {
		case unicode.Is(unicode.M, r):
		case n == len(name):
			return false
		case r == rune(name[n]), r >= utf8.RuneSelf && unicode.Is(unicode.Latin, r):
			n++
		default:
			return false
		}
	}
	return n == len(name)
}
