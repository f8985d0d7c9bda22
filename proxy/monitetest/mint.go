package monitetest

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// SetTokenEndpointDown makes the token endpoint respond with 503, until false.
func (s *Simulator) SetTokenEndpointDown(down bool) { s.tokenDown.Store(down) }

// mint serves POST /v1/auth/token.
func (s *Simulator) mint(c *call) *answer {
	a, grantType := s.tryMint(c)
	if grantType != "" {
		s.ledger.minted(grantType)
	}
	return a
}

// tryMint returns the response, and the grant type if a token was minted.
func (s *Simulator) tryMint(c *call) (*answer, string) {
	if s.tokenDown.Load() {
		return failure(http.StatusServiceUnavailable, "service_unavailable", "The token endpoint is down"), ""
	}
	fields, refusal := c.readFields("client_id", "client_secret", "grant_type", "entity_user_id")
	if refusal != nil {
		return refusal, ""
	}
	var problems []problem
	for _, name := range []string{"client_id", "client_secret", "grant_type"} {
		if fields[name] == "" {
			problems = append(problems, missing("body", name))
		}
	}
	grantType := fields["grant_type"]
	switch {
	case grantType == "":
	case grantType != grantPartner && grantType != grantEntityUser:
		problems = append(problems, problem{Loc: []any{"body", "grant_type"}, Msg: "value is not a valid enumeration member; permitted: 'client_credentials', 'entity_user'", Type: "type_error.enum"})
	case grantType == grantEntityUser && fields["entity_user_id"] == "":
		problems = append(problems, missing("body", "entity_user_id"))
	}
	for _, name := range []string{"client_id", "entity_user_id"} {
		// A configured id need not be a UUID: people write "test" in their CI.
		if value := fields[name]; value != "" && !schema.IsUUID(value) && !s.knowsClient(value) {
			problems = append(problems, notUUID("body", name))
		}
	}
	if len(problems) > 0 {
		return invalid(problems...), ""
	}
	known := s.knows(fields["client_id"], fields["client_secret"])
	if known || s.knowsClient(fields["client_id"]) {
		if refusal := s.limit(c, fields["client_id"]); refusal != nil {
			return refusal, ""
		}
	}
	if !known {
		return failure(http.StatusUnauthorized, "unauthorized", "Wrong client_id or client_secret"), ""
	}
	t := token{clientID: fields["client_id"], grantType: grantType}
	if grantType == grantEntityUser {
		t.entityUserID = fields["entity_user_id"]
		entityID, user := s.entityUser(t.entityUserID)
		if user == nil || user["status"] != "active" {
			return failure(http.StatusBadRequest, "bad_request", "The entity user does not exist"), ""
		}
		t.entityID = entityID
	}
	now := s.now()
	t.expires = now.Add(s.config.TokenLifetime)
	c.token = t
	return jsonAnswer(http.StatusOK, doc{
		"access_token": s.tokens.add(t, now),
		"expires_in":   int64(s.config.TokenLifetime.Seconds()),
		"token_type":   "Bearer",
	}).set("Cache-Control", "no-store"), grantType
}

// knows compares without a shortcut, because that costs nothing here.
func (s *Simulator) knows(clientID, clientSecret string) bool {
	found := 0
	for _, pair := range s.credentials() {
		found |= subtle.ConstantTimeCompare([]byte(clientID+"\n"+clientSecret), []byte(pair.ClientID+"\n"+pair.ClientSecret))
	}
	return found == 1
}

func (s *Simulator) knowsClient(clientID string) bool {
	return slices.ContainsFunc(s.credentials(), func(pair Credentials) bool { return pair.ClientID == clientID })
}

func (s *Simulator) credentials() []Credentials {
	return append([]Credentials{{s.config.ClientID, s.config.ClientSecret}}, s.config.ExtraCredentials...)
}

// revokeToken serves POST /v1/auth/revoke.
func revokeToken(c *call) *answer {
	fields, refusal := c.readFields("client_id", "client_secret", "token")
	if refusal != nil {
		return refusal
	}
	var problems []problem
	for _, name := range []string{"client_id", "client_secret", "token"} {
		if fields[name] == "" {
			problems = append(problems, missing("body", name))
		}
	}
	if len(problems) > 0 {
		return invalid(problems...)
	}
	if !c.s.knows(fields["client_id"], fields["client_secret"]) {
		return failure(http.StatusUnauthorized, "unauthorized", "Wrong client_id or client_secret")
	}
	if t, ok := c.s.tokens.get(fields["token"]); !ok || t.clientID != fields["client_id"] {
		return failure(http.StatusBadRequest, "bad_request", "The token does not exist")
	}
	c.s.Revoke(fields["token"])
	c.executed()
	return jsonAnswer(http.StatusOK, doc{"message": "The token has been revoked"})
}

// readFields reads a flat JSON object of strings (or nulls) with no other than
// the allowed names, each at most once.
func (c *call) readFields(allowed ...string) (map[string]string, *answer) {
	if contentType := c.r.Header.Get("Content-Type"); !isJSON(contentType) {
		return nil, failure(http.StatusUnsupportedMediaType, "unsupported_media_type",
			fmt.Sprintf("The content type must be application/json, not %q", contentType))
	}
	body, refusal := c.readBody()
	if refusal != nil {
		return nil, refusal
	}
	var raw map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&raw); err != nil || raw == nil {
		return nil, invalid(problem{Loc: []any{"body"}, Msg: "value is not a valid dict", Type: "type_error.dict"})
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, invalid(problem{Loc: []any{"body"}, Msg: "Extra data", Type: "value_error.jsondecode"})
	}
	fields := map[string]string{}
	var problems []problem
	for name, value := range raw {
		if !slices.Contains(allowed, name) {
			problems = append(problems, problem{Loc: []any{"body", name}, Msg: "extra fields not permitted", Type: "value_error.extra"})
			continue
		}
		var text string // null leaves it empty
		if err := json.Unmarshal(value, &text); err != nil {
			problems = append(problems, problem{Loc: []any{"body", name}, Msg: "str type expected", Type: "type_error.str"})
		}
		fields[name] = text
	}
	if len(problems) > 0 {
		slices.SortFunc(problems, func(a, b problem) int { return cmp.Compare(fmt.Sprint(a.Loc), fmt.Sprint(b.Loc)) })
		return nil, invalid(problems...)
	}
	return fields, nil
}

func notUUID(loc ...any) problem {
	return problem{Loc: loc, Msg: "value is not a valid uuid", Type: "type_error.uuid"}
}

// entityUser finds a user by id alone, as the token endpoint must.
func (s *Simulator) entityUser(id string) (entityID string, user doc) {
	data := s.api.Store()
	for _, entity := range data.At("", "entities").All() {
		entityID, _ := entity["id"].(string)
		if user := data.At(entityID, "entity_users").Get(id); user != nil {
			return entityID, user
		}
	}
	return "", nil
}
