package secret

import (
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Pair is a header field whose value is secret.
type Pair struct {
	Name  string
	Value String
}

// Pairs reads "name=value,name=value", as OTEL_EXPORTER_OTLP_HEADERS has it: spaces
// around either do not count, and values are percent-encoded. ok is false if one is
// not a header field.
func (s String) Pairs() (pairs []Pair, ok bool) {
	for item := range strings.SplitSeq(s.Reveal(), ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		name, value, found := strings.Cut(item, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !found || err != nil || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, false
		}
		pairs = append(pairs, Pair{name, New(value)})
	}
	return pairs, true
}
