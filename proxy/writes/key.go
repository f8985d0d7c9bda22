package writes

const maxKey = 255

// ParseKey reads the value of an Idempotency-Key field: a string of structured
// fields (draft-ietf-httpapi-idempotency-key-header-07 section 2.1, RFC 9651
// section 3.3.3), or the bare text that Stripe's and many other clients send.
// "k" and k are the same key. ok is false unless it has 1 to 255 printable
// characters.
func ParseKey(value string) (key string, ok bool) {
	if len(value) > 0 && value[0] == '"' {
		value, ok = unquote(value)
		if !ok {
			return "", false
		}
	} else {
		for i := range len(value) {
			if value[i] == '"' { // a quoted string that does not begin as one
				return "", false
			}
		}
	}
	if len(value) == 0 || len(value) > maxKey {
		return "", false
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return "", false
		}
	}
	return value, true
}

func unquote(value string) (text string, ok bool) {
	plain := make([]byte, 0, len(value))
	for i := 1; i < len(value); i++ {
		switch c := value[i]; c {
		case '"':
			return string(plain), i == len(value)-1
		case '\\':
			if i++; i == len(value) || value[i] != '"' && value[i] != '\\' {
				return "", false
			}
			plain = append(plain, value[i])
		default:
			plain = append(plain, c)
		}
	}
	return "", false
}
