package resources

import "net/http"

func init() {
	active := func(_ *call, d Doc) error { d["status"] = "active"; return nil }
	behave(map[string]*kind{
		"entity_users": {object: "entity_user", unique: "login", fill: fillUser},
		"roles":        {object: "role", fill: active, guard: roleInUse},
	}, map[string]handler{
		"GET entity_users/me":      ownUser,
		"PATCH entity_users/me":    ownUser,
		"GET entity_users/my_role": ownRole,
	})
}

func fillUser(_ *call, d Doc) error {
	d["status"] = "active"
	if d["role_id"] == nil {
		return badRequest("The role does not exist")
	}
	return nil
}

// roleInUse keeps a role that users have.
func roleInUse(c *call, d Doc) error {
	if c.Op.Method != http.MethodDelete {
		return nil
	}
	for _, user := range c.at("entity_users").All() {
		if user["role_id"] == d["id"] {
			return c.conflict("The role is assigned to users")
		}
	}
	return nil
}

func ownUser(c *call) (any, error) {
	rows := c.at("entity_users")
	if c.Op.Method == http.MethodPatch {
		d, err := c.update(rows, c.EntityUserID, func(d Doc) error { merge(d, c.body); return nil })
		if err == nil && d == nil {
			err = notFound("entity_user")
		}
		return d, err
	}
	if row := rows.Row(c.EntityUserID); row != nil {
		return row, nil
	}
	return nil, notFound("entity_user")
}

func ownRole(c *call) (any, error) {
	user := c.at("entity_users").Get(c.EntityUserID)
	if row := c.at("roles").Row(text(user["role_id"])); row != nil {
		return row, nil
	}
	return nil, notFound("role")
}
