package secret

import (
	"errors"
	"strings"
)

// CheckBearer accepts what RFC 6750 section 2.1 calls b64token, up to MaxLen bytes,
// so that the text is safe in a header field. The error does not hold any of it.
func CheckBearer(text string) error {
	if text == "" || len(text) > MaxLen {
		return errors.New("is empty or longer than 8 KiB")
	}
	trimmed := strings.TrimRight(text, "=")
	if trimmed == "" {
		return errors.New("has characters that no bearer token has")
	}
	for i := range len(trimmed) {
		c := trimmed[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("-._~+/", rune(c)) {
			return errors.New("has characters that no bearer token has")
		}
	}
	return nil
}
