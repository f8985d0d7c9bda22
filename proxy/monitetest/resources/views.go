package resources

import (
	"maps"
	"net/http"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// other serves a view or setting, one document of its own, or an action.
func (c *call) other() (any, error) {
	settings := c.data.At(c.owner, "_views")
	kept := settings.Get(c.path)
	switch c.Op.Method {
	case http.MethodGet:
		return c.view(settings, kept), nil
	case http.MethodDelete:
		_, _ = settings.Remove(c.path, nil)
		return Doc{}, nil
	case http.MethodPut, http.MethodPatch:
		d := maps.Clone(c.body)
		if c.Op.Method == http.MethodPatch {
			d = maps.Clone(c.view(settings, kept))
			merge(d, c.body)
		}
		d["id"] = c.path
		settings.Add(d)
		return without(d, "id"), nil
	}
	return c.action()
}

// view returns what was set, or else the schema's defaults, with the optional parts.
func (c *call) view(settings *state.Collection, kept Doc) Doc {
	if kept != nil {
		return without(kept, "id")
	}
	m := c.maker(c.owner + c.path)
	m.Full = true
	made, _ := m.Fill(c.Op.Response).(Doc)
	if made == nil {
		made = Doc{}
	}
	d := maps.Clone(made)
	d["id"] = c.path
	settings.Add(d)
	return made
}

// action is a POST that is not a creation: on a document it touches it, and by itself
// it makes something that is not kept.
func (c *call) action() (any, error) {
	if c.id == "" {
		d := maps.Clone(c.body)
		c.stamp(d)
		return d, nil
	}
	d, err := c.update(c.rows(), c.id, func(Doc) error { return nil })
	if err != nil || d == nil {
		return nil, notFound(singular(c.parent))
	}
	if strings.HasSuffix(c.path, "/make_default") {
		c.makeDefault(c.rows(), c.id, d)
		d = c.rows().Get(c.id)
	}
	shown := maps.Clone(d)
	maps.Copy(shown, c.body)
	shown["id"] = d["id"]
	return shown, nil
}

// makeDefault takes the default from the others of the same kind.
func (c *call) makeDefault(rows *state.Collection, id string, d Doc) {
	for _, other := range rows.All() {
		same := other["currency"] == d["currency"] && other["type"] == d["type"] && other["document_type"] == d["document_type"]
		if other["id"] != id && (!same || other["is_default"] != true) {
			continue
		}
		_, _ = c.update(rows, text(other["id"]), func(o Doc) error {
			o["is_default"] = other["id"] == id
			if _, is := o["is_default_for_currency"]; is {
				o["is_default_for_currency"] = other["id"] == id
			}
			return nil
		})
	}
}
