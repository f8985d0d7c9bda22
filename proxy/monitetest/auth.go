package monitetest

import (
	"net/http"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// authorise fills in c.token, or returns the refusal. The token of an expired
// or deleted grant is filled in too, for the rate limit and the record.
func (s *Simulator) authorise(c *call) *answer {
	values := c.r.Header.Values("Authorization")
	switch {
	case len(values) == 0 || values[0] == "":
		return unauthorized("The access token is missing")
	case len(values) > 1:
		return failure(http.StatusBadRequest, "bad_request", "There is more than one Authorization header")
	}
	scheme, value, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return unauthorized("The authentication scheme must be Bearer")
	}
	t, ok := s.tokens.get(value)
	if !ok {
		return unauthorized("The access token is invalid")
	}
	c.token = t
	if !t.expires.After(s.now()) {
		return failure(s.config.ExpiredStatus, "unauthorized", "The token has been expired.")
	}
	if t.grantType == grantEntityUser {
		if user := s.api.Store().At(t.entityID, "entity_users").Get(t.entityUserID); user == nil || user["status"] != "active" {
			return unauthorized("The access token is invalid")
		}
	}
	return nil
}

func unauthorized(message string) *answer {
	return failure(http.StatusUnauthorized, "unauthorized", message).set("WWW-Authenticate", "Bearer")
}

// checkEntity settles for which entity the call acts.
//
// With a partner token the header is the only tenant boundary. An entity-user
// token is bound to its user's entity, so the header may only repeat it.
func (s *Simulator) checkEntity(c *call) *answer {
	values := c.r.Header.Values(entityHeader)
	if len(values) > 1 {
		return invalid(problem{Loc: []any{"header", "x-monite-entity-id"}, Msg: "there is more than one value", Type: "value_error.list"})
	}
	sent := strings.ToLower(strings.Join(values, ""))
	if sent == "" && c.op.Entity == schema.EntityRequired {
		return invalid(missing("header", "x-monite-entity-id"))
	}
	if sent != "" && !schema.IsUUID(sent) && c.op.Entity != schema.EntityNone {
		return invalid(notUUID("header", "x-monite-entity-id"))
	}
	if c.token.grantType == grantEntityUser {
		if sent != "" && sent != c.token.entityID {
			return forbidden("The entity user does not belong to this entity")
		}
		c.entityID = c.token.entityID
	} else if sent != "" {
		if s.api.Store().At("", "entities").Get(sent) != nil {
			c.entityID = sent
		} else if c.op.Entity != schema.EntityNone {
			return notFound("entity")
		}
	}
	return s.checkPath(c)
}

// checkPath wants UUIDs as path parameters, and /entities/{entity_id} to be
// the entity user's own.
func (s *Simulator) checkPath(c *call) *answer {
	names := strings.Split(c.op.Template, "/")
	i := 0
	for _, name := range names {
		if !isParam(name) {
			continue
		}
		c.params[i] = strings.ToLower(c.params[i])
		value := c.params[i]
		i++
		if !schema.IsUUID(value) {
			return invalid(notUUID("path", strings.Trim(name, "{}")))
		}
		if name != "{entity_id}" {
			continue
		}
		if c.token.grantType == grantEntityUser && value != c.token.entityID {
			return forbidden("The entity user does not belong to this entity")
		}
		if s.api.Store().At("", "entities").Get(value) == nil {
			return notFound("entity")
		}
		c.entityID = value
	}
	return nil
}

func forbidden(message string) *answer {
	return failure(http.StatusForbidden, "forbidden", message)
}
