package secret

import (
	"errors"
	"strings"
)

const tokenBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"

// CheckBearer accepts what RFC 6750 section 2.1 calls b64token, up to MaxLen bytes,
// so that the text is safe in a header field. The error does not hold any of it.
func CheckBearer(text string) error {
	if text == "" || len(text) > MaxLen {
		return errors.New("is empty or longer than 8 KiB")
	}
	trimmed := strings.TrimRight(text, "=")
	if trimmed == "" || strings.Trim(trimmed, tokenBytes) != "" {
		return errors.New("has characters that no bearer token has")
	}
	return nil
}
