package targettest

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// normalisers are the changes that upstreams are known to make to a path. They share
// nothing with package target: they are the oracle of its tests.
var normalisers = map[string]func(string) string{
	"decode":            percentDecoded,
	"decode overlong":   overlongDecoded,
	"collapse slashes":  collapsed,
	"resolve dots":      dotsResolved,
	"fold case":         strings.ToLower,
	"strip params":      paramsStripped,
	"cut at NUL":        func(s string) string { return cutAt(s, "\x00") },
	"cut at query":      func(s string) string { return cutAt(s, "?") },
	"cut at fragment":   func(s string) string { return cutAt(s, "#") },
	"backslash":         func(s string) string { return strings.ReplaceAll(s, `\`, "/") },
	"trim blanks":       blanksTrimmed,
	"plus is blank":     func(s string) string { return strings.ReplaceAll(s, "+", " ") },
	"trim dots":         dotsTrimmed,
	"fold unicode":      norm.NFKC.String,
	"strip accents":     accentsStripped,
	"drop invisible":    invisibleDropped,
	"drop control":      controlDropped,
	"drop invalid UTF8": func(s string) string { return strings.ToValidUTF8(s, "") },
}

func percentDecoded(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if h, l := strings.IndexByte("0123456789abcdef", s[i+1]|0x20), strings.IndexByte("0123456789abcdef", s[i+2]|0x20); h >= 0 && l >= 0 {
				b.WriteByte(byte(h<<4 | l))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// overlongDecoded reads UTF-8 as decoders did that did not check: 0xc0 0xae is
// a dot to them.
func overlongDecoded(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case (s[i] == 0xc0 || s[i] == 0xc1) && i+1 < len(s):
			b.WriteByte((s[i]&3)<<6 | s[i+1]&0x3f)
			i++
		case s[i] == 0xe0 && i+2 < len(s) && (s[i+1] == 0x80 || s[i+1] == 0x81):
			b.WriteByte((s[i+1]&3)<<6 | s[i+2]&0x3f)
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func collapsed(s string) string {
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	return s
}

func dotsResolved(s string) string {
	var out []string
	for segment := range strings.SplitSeq(s, "/") {
		switch segment {
		case ".":
		case "..":
			if len(out) > 1 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, segment)
		}
	}
	return strings.Join(out, "/")
}

func eachSegment(s string, f func(string) string) string {
	segments := strings.Split(s, "/")
	for i := range segments {
		segments[i] = f(segments[i])
	}
	return strings.Join(segments, "/")
}

func cutAt(s, mark string) string {
	before, _, _ := strings.Cut(s, mark)
	return before
}

func paramsStripped(s string) string {
	return eachSegment(s, func(segment string) string { return cutAt(segment, ";") })
}

func blanksTrimmed(s string) string {
	return eachSegment(s, strings.TrimSpace)
}

func dotsTrimmed(s string) string {
	return eachSegment(s, func(segment string) string {
		if strings.Trim(segment, ".") == "" {
			return segment
		}
		return strings.TrimRight(segment, ".")
	})
}

func accentsStripped(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(s))
}

func invisibleDropped(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			return -1
		}
		return r
	}, s)
}

func controlDropped(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// forms returns what path can become when upstream normalises it in any way and
// any order, up to a bound.
func forms(path string) map[string]bool {
	seen := map[string]bool{path: true}
	for round := []string{path}; len(round) > 0 && len(seen) < 2000; {
		var next []string
		for _, form := range round {
			for _, normalise := range normalisers {
				if n := normalise(form); !seen[n] {
					seen[n] = true
					next = append(next, n)
				}
			}
		}
		round = next
	}
	return seen
}

// AuthForm returns a form of path with a segment "auth", or "".
func AuthForm(path string) string {
	for form := range forms(path) {
		for segment := range strings.SplitSeq(form, "/") {
			if segment == "auth" {
				return form
			}
		}
	}
	return ""
}

// ReachesToken reports whether some upstream takes path for one of the paths
// that must never be reached.
func ReachesToken(path string) bool {
	all := forms(path)
	for _, denied := range []string{"/v1/auth/token", "/v1/auth/revoke", "/auth/token", "/auth/revoke", "/v1/auth", "/auth"} {
		if all[denied] || all[denied+"/"] {
			return true
		}
	}
	return false
}
