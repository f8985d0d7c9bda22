package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"time"
)

// vendBodyTimeout is how long the body of a token request may take.
const vendBodyTimeout = 5 * time.Second

// vendRequest is what counts of a token request. The client id and secret that
// Monite wants are accepted and not looked at: the backend needs none.
type vendRequest struct{ GrantType, EntityUserID string }

// readVendRequest reads a flat JSON object as Monite takes it: no other fields,
// none twice, names spelled exactly. encoding/json alone would take
// "Entity_User_ID" for entity_user_id, and the last of two; what sits in front
// may have checked the first.
func readVendRequest(body io.Reader) (asked vendRequest, p *problem) {
	text, err := io.ReadAll(io.LimitReader(body, maxTokenRequest+1))
	switch {
	case err != nil:
		return asked, &problemBodyRead
	case len(text) > maxTokenRequest:
		return asked, &problemVendBody
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return asked, &problemVendRequest
	}
	seen := map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return asked, &problemVendRequest
		}
		field, _ := name.(string)
		value, err := decoder.Token()
		given, isText := value.(string)
		if err != nil || seen[field] || !isText && value != nil {
			return asked, &problemVendRequest
		}
		seen[field] = true
		switch field {
		case "grant_type":
			asked.GrantType = given
		case "entity_user_id":
			asked.EntityUserID = given
		case "client_id", "client_secret":
		default:
			return asked, &problemVendRequest
		}
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return asked, &problemVendRequest
	}
	if _, err := decoder.Token(); err != io.EOF {
		return asked, &problemVendRequest
	}
	return asked, nil
}
