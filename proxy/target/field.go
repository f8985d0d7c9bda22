package target

import (
	"net/http"
	"strings"
)

// FieldName returns the name for which some upstream might take this one: a
// CGI-like one makes the same variable of "_", "." and "-" (oauth2-proxy
// CVE-2025-64484, Traefik CVE-2026-54763). twin reports whether name is spelled
// otherwise.
func FieldName(name string) (plain string, twin bool) {
	i := 0
	for i < len(name) && plainByte(name[i]) {
		i++
	}
	if i == len(name) && !strings.HasSuffix(name, "-") {
		return name, false
	}
	plain = strings.Map(func(r rune) rune {
		if r > '~' || !plainByte(byte(r)) {
			return '-'
		}
		return r
	}, name)
	return http.CanonicalHeaderKey(strings.TrimRight(plain, "-")), true
}

func plainByte(c byte) bool {
	return c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
