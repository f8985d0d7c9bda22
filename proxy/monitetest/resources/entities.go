package resources

import (
	"net/http"
)

func init() {
	behave(map[string]*kind{
		"entities": {object: "entity", fill: fillEntity, life: map[string]transition{
			"activate":   {to: "active", event: "updated"},
			"deactivate": {to: "inactive", event: "updated"},
		}},
	}, map[string]handler{
		"GET entities/me":               ownEntity,
		"PATCH entities/me":             ownEntity,
		"GET entity_users/my_entity":    ownEntity,
		"PATCH entity_users/my_entity":  ownEntity,
		"PUT entities/{entity_id}/logo": setLogo,
		"DELETE entities/{entity_id}/logo": func(c *call) (any, error) {
			return c.touch(func(d Doc) error { d["logo"] = nil; return nil })
		},
		"POST files": uploadFile,
	})
}

func fillEntity(c *call, d Doc) error {
	d["status"] = "active"
	if tax := object(d["organization"])["tax_id"]; tax != nil && d["tax_id"] == nil {
		d["tax_id"] = tax
	}
	return nil
}

// ownEntity is the entity of the token, or for a partner that of the header.
func ownEntity(c *call) (any, error) {
	if c.EntityID == "" {
		return nil, badRequest("The x-monite-entity-id HTTP header is missing or unknown")
	}
	rows := c.data.At("", "entities")
	if c.Op.Method == http.MethodPatch {
		d, err := c.update(rows, c.EntityID, func(d Doc) error { merge(d, c.body); return nil })
		if err == nil {
			c.event("entity", "updated", d)
		}
		return d, err
	}
	return rows.Row(c.EntityID), nil
}

func setLogo(c *call) (any, error) {
	file := c.keepFile("entity-logo")
	_, err := c.touch(func(d Doc) error { d["logo"] = file; return nil })
	return file, err
}
