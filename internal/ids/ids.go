package ids

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Parse accepts 8-4-4-4-12 hexadecimal digits and returns them in lower case.
func Parse(text string) (id string, ok bool) {
	if len(text) != 36 {
		return "", false
	}
	for i := range len(text) {
		switch c := text[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return "", false
			}
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		default:
			return "", false
		}
	}
	return strings.ToLower(text), true
}

// Short shows the first 8 digits of an id that Parse returned: enough to tell two
// apart, while a secret that was pasted into the wrong variable (Monite's secrets
// are UUIDs too) stays one. "" gives "".
func Short(id string) string {
	if id == "" {
		return ""
	}
	return id[:8] + "-..."
}

// Hash names an id without telling it, in 12 hexadecimal digits. The same id has
// the same hash in every process, so that the reports of two can be compared. ""
// gives "".
func Hash(id string) string {
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:6])
}
