package monitetest

import "net/http"

var entityHandlers = handlerTable{
	"POST /v1/entities":                        createEntity,
	"POST /v1/entities/{entity_id}/activate":   setEntityStatus("active"),
	"POST /v1/entities/{entity_id}/deactivate": setEntityStatus("inactive"),
	"GET /v1/entities/me":                      ownEntity,
	"PATCH /v1/entities/me":                    ownEntity,
	"GET /v1/entity_users/my_entity":           ownEntity,
	"PATCH /v1/entity_users/my_entity":         ownEntity,
	"POST /v1/entity_users":                    createEntityUser,
	"GET /v1/entity_users/me":                  ownUser,
	"PATCH /v1/entity_users/me":                ownUser,
	"GET /v1/entity_users/my_role":             ownRole,
	"POST /v1/roles":                           createRole,
	"POST /v1/counterparts":                    createCounterpart,
}

func createEntity(c *call) *answer {
	fields, refusal := c.readJSON("type", "email", "address")
	if refusal != nil {
		return refusal
	}
	if refusal := wantParty(fields); refusal != nil {
		return refusal
	}
	fields["status"] = "active"
	return c.create(c.s.data.Load().at("", "entities"), fields)
}

// wantParty checks the two shapes of entities and counterparts.
func wantParty(fields doc) *answer {
	kind, _ := fields["type"].(string)
	if kind != "organization" && kind != "individual" {
		return invalid(problem{[]string{"body", "type"},
			"value is not a valid enumeration member; permitted: 'individual', 'organization'", "type_error.enum"})
	}
	if _, ok := fields[kind].(doc); !ok {
		return invalid(missing("body", kind))
	}
	return nil
}

func setEntityStatus(status string) func(c *call) *answer {
	return func(c *call) *answer {
		updated, _ := c.s.data.Load().at("", "entities").update(c.entityID, c.s.config.Now(), func(d doc) *answer {
			d["status"] = status
			return nil
		})
		if updated == nil {
			return notFound("entity")
		}
		c.executed()
		return c.success(updated)
	}
}

// ownEntity is the entity of the token, or for a partner that of the header.
func ownEntity(c *call) *answer {
	if c.entityID == "" {
		return failure(http.StatusBadRequest, "bad_request", "The x-monite-entity-id HTTP header is missing or unknown")
	}
	rows := c.s.data.Load().at("", "entities")
	if c.op.Method == http.MethodPatch {
		return c.change(rows, c.entityID, "entity", nil)
	}
	return jsonAnswer(c.op.Success, rows.get(c.entityID))
}

func createEntityUser(c *call) *answer {
	fields, refusal := c.readJSON("first_name", "login")
	if refusal != nil {
		return refusal
	}
	data := c.s.data.Load()
	roleID, _ := fields["role_id"].(string)
	if roleID == "" || data.at(c.entityID, "roles").get(roleID) == nil {
		return failure(http.StatusBadRequest, "bad_request", "The role does not exist")
	}
	for _, other := range data.at(c.entityID, "entity_users").all() {
		if other["login"] == fields["login"] {
			return failure(http.StatusConflict, "conflict", "An entity user with this login exists")
		}
	}
	fields["status"] = "active"
	return c.create(data.at(c.entityID, "entity_users"), fields)
}

func ownUser(c *call) *answer {
	rows := c.s.data.Load().at(c.token.entityID, "entity_users")
	if c.op.Method == http.MethodPatch {
		return c.change(rows, c.token.entityUserID, "entity_user", func(doc) *answer { return nil })
	}
	if user := rows.get(c.token.entityUserID); user != nil {
		return jsonAnswer(c.op.Success, user)
	}
	return notFound("entity_user")
}

func ownRole(c *call) *answer {
	data := c.s.data.Load()
	user := data.at(c.token.entityID, "entity_users").get(c.token.entityUserID)
	roleID, _ := user["role_id"].(string)
	if role := data.at(c.token.entityID, "roles").get(roleID); role != nil {
		return jsonAnswer(c.op.Success, role)
	}
	return notFound("role")
}

func createRole(c *call) *answer {
	fields, refusal := c.readJSON("name", "permissions")
	if refusal != nil {
		return refusal
	}
	fields["status"] = "active"
	return c.create(c.s.data.Load().at(c.entityID, "roles"), fields)
}

// createCounterpart stores the address apart, where Monite has it too.
func createCounterpart(c *call) *answer {
	fields, refusal := c.readJSON("type")
	if refusal != nil {
		return refusal
	}
	if refusal := wantParty(fields); refusal != nil {
		return refusal
	}
	kind := fields["type"].(string)
	party := fields[kind].(doc)
	address, ok := party["address"].(doc)
	if !ok {
		return invalid(missing("body", kind, "address"))
	}
	fields[kind] = without(party, "address")
	data, addressID := c.s.data.Load(), newUUID()
	fields["default_billing_address_id"], fields["default_shipping_address_id"] = addressID, nil
	a := c.create(data.at(c.entityID, "counterparts"), fields)
	id := fields["id"].(string)
	stored := without(address)
	stored["id"], stored["counterpart_id"] = addressID, id
	data.at(c.entityID, "counterparts/"+id+"/addresses").add(stored)
	return a
}
