package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

const redacted = "[redacted]"

// String is a string that cannot be printed. The zero value is empty.
//
// It is comparable with == only by identity of the pointer inside; use Equal.
type String struct {
	// A pointer and not a string: fmt prints the unexported fields of a struct
	// that holds a String by reflection, without asking its methods, and then
	// an address is all that it can show.
	value *string
	// bearer is "Bearer " and the value, if it is used as that; else nil.
	bearer *string
}

const bearerScheme = "Bearer "

// New makes text secret. Empty text gives the zero String.
func New(text string) String {
	if text == "" {
		return String{}
	}
	return String{value: &text}
}

// NewToken is New for an access token: its Bearer costs nothing.
func NewToken(text string) String {
	if text == "" {
		return String{}
	}
	bearer := bearerScheme + text
	text = bearer[len(bearerScheme):]
	return String{value: &text, bearer: &bearer}
}

// Reveal returns the text. It has five callers: the mint body in tokenendpoint, the
// password and the sealed tokens of the shared store, the response of the vend
// listener in proxy, and the fields for the trace collector.
func (s String) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Bearer returns the text as the value of an Authorization field (RFC 6750
// section 2.1). It has one caller, the credential step in proxy.
func (s String) Bearer() string {
	if s.bearer != nil {
		return *s.bearer
	}
	return bearerScheme + s.Reveal()
}

// IsZero reports whether there is no text.
func (s String) IsZero() bool { return s.value == nil }

// Len returns the number of bytes, which is not a secret.
func (s String) Len() int {
	if s.value == nil {
		return 0
	}
	return len(*s.value)
}

// In reports whether text holds the secret. Nothing is in a zero String.
func (s String) In(text string) bool {
	return s.value != nil && len(text) >= len(*s.value) && strings.Contains(text, *s.value)
}

// Equal compares the texts in a time that depends on neither.
func (s String) Equal(other String) bool {
	if s.value == other.value {
		return true
	}
	// Hashing first makes both sides the same length.
	a, b := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(other.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// Hash names the value without telling it: twelve hexadecimal digits, the same in
// every process. It is for ids, which cannot be guessed; a short secret could be
// found again by hashing all there are.
func (s String) Hash() string {
	if s.value == nil {
		return ""
	}
	sum := sha256.Sum256([]byte(*s.value))
	return hex.EncodeToString(sum[:6])
}

// String implements fmt.Stringer: "[redacted]", or "" for the zero String.
func (s String) String() string {
	if s.value == nil {
		return ""
	}
	return redacted
}

// GoString implements fmt.GoStringer.
func (s String) GoString() string { return s.String() }

// Format implements fmt.Formatter, so that no verb reaches the text, not even
// %x or %d.
func (s String) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, s.String()) }

// MarshalText implements encoding.TextMarshaler, for JSON, YAML and zerolog.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON implements json.Marshaler.
func (s String) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// Decode implements envconfig.Decoder. It never fails: envconfig quotes the
// value in its errors.
func (s *String) Decode(text string) error {
	*s = New(text)
	return nil
}

// Key derives a key from the secret for one use, which label names. Nothing leads from
// the key back to the text, so this is not another way to Reveal it.
func (s String) Key(label string) [32]byte { return derive(s, label) }
