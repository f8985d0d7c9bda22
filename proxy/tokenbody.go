package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
)

// tokenBody is the part of the body of a request for a token that matters. The
// client id and secret that Monite wants are accepted and ignored: an app that asks
// here has none, or some placeholder.
type tokenBody struct {
	GrantType, EntityUserID string
	others                  bool // it has fields that Monite does not document
}

// The mistakes of a body. The error of the parser may quote it.
var (
	errTokenBodyForm  = errors.New("the token request is not the JSON that Monite documents")
	errTokenBodyLarge = errors.New("the token request is larger than 16 KiB")
)

// readTokenBody reads a JSON object: no field twice, Monite's spelled exactly,
// and each of them text or null. encoding/json alone would take
// "Entity_User_ID" for entity_user_id, and the last of two; what sits in front
// may have checked the first.
//
// The error is one of those above, or that of reading. size is in bytes.
func readTokenBody(body io.Reader) (asked tokenBody, size int64, err error) {
	text, err := io.ReadAll(io.LimitReader(body, maxTokenRequest+1))
	size = int64(len(text))
	switch {
	case err != nil:
		return asked, size, err
	case size > maxTokenRequest:
		return asked, size, errTokenBodyLarge
	}
	asked, ok := parseTokenBody(text)
	if !ok {
		return tokenBody{}, size, errTokenBodyForm
	}
	return asked, size, nil
}

func parseTokenBody(text []byte) (asked tokenBody, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return asked, false
	}
	seen := map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return asked, false
		}
		field, _ := name.(string)
		var value any
		if err := decoder.Decode(&value); err != nil || seen[field] {
			return asked, false
		}
		seen[field] = true
		given, isText := value.(string)
		if !isText && value != nil && isTokenField(field) {
			return asked, false
		}
		switch field {
		case "grant_type":
			asked.GrantType = given
		case "entity_user_id":
			asked.EntityUserID = given
		case "client_id", "client_secret":
		default:
			if isTokenField(field) {
				return asked, false
			}
			asked.others = true
		}
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return asked, false
	}
	_, err := decoder.Token()
	return asked, err == io.EOF
}

// isTokenField reports whether a reader might take the name for one of Monite's.
func isTokenField(name string) bool {
	return slices.ContainsFunc([]string{"grant_type", "entity_user_id", "client_id", "client_secret"}, func(known string) bool {
		return strings.EqualFold(known, name)
	})
}
