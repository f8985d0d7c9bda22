package routes

import (
	"net/url"
	"strings"
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
// slash at its end. ok is false if there is a letter beyond ASCII: no published
// path has one, and readers fold them in ways of their own.
func fold(path string) (folded string, ok bool) {
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	for i, segment := range segments {
		if decoded, err := url.PathUnescape(segment); err == nil {
			segment = decoded
		}
		if !ascii(segment) { // before ToLower, to which a Kelvin sign is a k
			return "", false
		}
		segments[i] = strings.Trim(strings.ToLower(segment), " +.")
	}
	return strings.Join(segments, "/"), true
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
	}
	if n.param != nil {
		next(n.param)
	}
}

func ascii(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
