package secret

import (
	"errors"
	"fmt"
	"strings"
)

// MaxLen is the longest secret that is accepted, in bytes.
const MaxLen = 8 << 10

// Check says what is wrong with s as a value that goes into a header field or
// a JSON body: it has to be 1 to MaxLen bytes of printable ASCII, without
// spaces. Nil: nothing is wrong. The error is a fixed text and never holds a
// part of the value.
//
// The rule is narrower than that of a field value (RFC 9110 section 5.5): a
// space or a line break in a secret is always an accident of an editor, a
// shell or a template, and the token endpoint's refusal would not say so.
func Check(s String) error {
	if s.value == nil {
		return errors.New("it is empty")
	}
	return checkText(*s.value)
}

func checkText(text string) error {
	switch {
	case text == "":
		return errors.New("it is empty")
	case len(text) > MaxLen:
		return fmt.Errorf("it is longer than %d bytes", MaxLen)
	case strings.HasPrefix(text, "\xef\xbb\xbf"), strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"):
		return errors.New("it starts with a byte order mark")
	case quoted(text):
		return errors.New("it has quotes around it")
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\r' || c == '\n':
			return errors.New("it has a line break in it")
		case c == 0:
			return errors.New("it has a NUL byte in it")
		case c == ' ' || c == '\t':
			return errors.New("it has a space in it")
		case c < 0x21 || c == 0x7f:
			return errors.New("it has a control byte in it")
		case c > 0x7f:
			return errors.New("it has a byte in it that is not ASCII")
		}
	}
	return nil
}

func quoted(text string) bool {
	last := len(text) - 1
	return last > 0 && text[0] == text[last] && (text[0] == '"' || text[0] == '\'')
}
