package strict

import "strings"

// kinds of bytes.
const (
	tokenByte = 1 << iota // RFC 9110 section 5.6.2
	plainByte             // of a path that needs no decoding, and that url.URL writes as it is
	valueByte             // of a field value
)

var byteKind = makeByteKinds()

func makeByteKinds() (kinds [256]uint8) {
	for c := range 256 {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			kinds[c] |= valueByte
		}
	}
	for c := range 128 {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if alnum || strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			kinds[c] |= tokenByte
		}
		if alnum || strings.ContainsRune("-._~/@:&=+$,", rune(c)) {
			kinds[c] |= plainByte
		}
	}
	return kinds
}

// only reports whether text has no byte but of kind. An empty text has none.
func only(text string, kind uint8) bool {
	for i := range len(text) {
		if byteKind[text[i]]&kind == 0 {
			return false
		}
	}
	return true
}

func isToken(text string) bool { return text != "" && only(text, tokenByte) }

// fieldOf takes a line apart. The name is canonical, as net/http's.
func fieldOf(line string) (name, value string, why Violation) {
	if line[0] == ' ' || line[0] == '\t' {
		return "", "", Fold
	}
	name, value, found := strings.Cut(line, ":")
	if !found || !isToken(name) {
		return "", "", FieldName
	}
	value = trimBlanks(value)
	if !only(value, valueByte) {
		return "", "", FieldValue
	}
	return canonical(name), value, None
}

// trimBlanks removes optional whitespace (RFC 9110 section 5.6.3), and no other.
func trimBlanks(text string) string {
	for text != "" && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	for text != "" && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
		text = text[:len(text)-1]
	}
	return text
}

// usual are names that clients write in lower case, or in a way of their own.
// Found here they cost no allocation.
var usual = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Baggage", "Cache-Control", "Connection",
		"Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Date", "Expect", "Host", "If-Match", "If-Modified-Since",
		"If-None-Match", "Idempotency-Key", "Keep-Alive", "Origin", "Pragma", "Referer", "Sec-Fetch-Mode", "Te", "Traceparent",
		"Tracestate", "Trailer", "Transfer-Encoding", "User-Agent", "X-Monite-Entity-Id", "X-Monite-Entity-User-Id",
		"X-Monite-Identity", "X-Monite-Proxy-Token", "X-Monite-Version", "X-Request-Id",
	} {
		names[name] = name
	}
	return names
}()

// canonical returns a token as textproto.CanonicalMIMEHeaderKey does. A name
// that is canonical already stays the part of the head that it is.
func canonical(name string) string {
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && c >= 'a' && c <= 'z' || !upper && c >= 'A' && c <= 'Z' {
			return respell(name)
		}
		upper = c == '-'
	}
	return name
}

func respell(name string) string {
	var room [48]byte
	spelt := room[:0]
	upper := true
	for i := range len(name) {
		c := name[i]
		switch {
		case upper && c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		case !upper && c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		spelt = append(spelt, c)
		upper = c == '-'
	}
	if known, ok := usual[string(spelt)]; ok {
		return known
	}
	return string(spelt)
}

// areTokens reports whether fields are lists of tokens. Empty elements count as
// none (RFC 9110 section 5.6.1.2).
func areTokens(values []string) bool {
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			if !only(trimBlanks(element), tokenByte) {
				return false
			}
		}
	}
	return true
}

// hasToken reports whether a field that is a list of tokens has this one.
func hasToken(values []string, token string) bool {
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(trimBlanks(element), token) {
				return true
			}
		}
	}
	return false
}
