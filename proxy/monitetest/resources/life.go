package resources

import (
	"maps"
	"slices"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// transition is an action that changes the status of a document, such as POST
// payables/{payable_id}/reject.
type transition struct {
	from  []string // the statuses that allow it; nil: all do
	to    string
	event string   // what subscribers are told; empty: nothing
	types []string // the types of document that have the action, where there are types
	// more changes what follows from it in the document, or refuses.
	more func(c *call, d Doc) error
	// then does what follows elsewhere. The response is made of its result.
	then func(c *call, before, after Doc) (any, error)
}

// act serves the action that the path ends in.
func (c *call) act(collection, action string) (any, error) {
	before, after, err := c.move(collection, c.rows(), c.id, action)
	if then := kinds[collection].life[action].then; err == nil && then != nil {
		return then(c, before, after)
	}
	return after, err
}

// movePayable is an action that follows from another operation.
func (c *call) movePayable(id, action string) error {
	_, _, err := c.move("payables", c.at("payables"), id, action)
	return err
}

// move changes the status of a document as the action does, and tells of it; or it
// refuses.
func (c *call) move(collection string, rows *state.Collection, id, action string) (before, after Doc, err error) {
	k := kinds[collection]
	t := k.life[action]
	after, err = c.update(rows, id, func(d Doc) error {
		before = maps.Clone(d)
		status, name := text(d["status"]), singular(collection)
		if t.types != nil {
			name = text(d["type"])
		}
		if t.from != nil && !slices.Contains(t.from, status) || t.types != nil && !slices.Contains(t.types, name) {
			return c.conflict("Action " + action + " is not allowed for a " + name + " in the status " + status)
		}
		d["status"] = t.to
		if t.more != nil {
			return t.more(c, d)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, nil, err
	case after == nil:
		return nil, nil, notFound(singular(collection))
	}
	if k.history {
		c.api.history(c.EntityID, collection, id, "status_changed", c.user(), Doc{"old_status": before["status"], "new_status": after["status"]})
	}
	if t.event != "" {
		c.event(k.object, t.event, after)
	}
	return before, after, nil
}

// touch changes the document of the path.
func (c *call) touch(change func(d Doc) error) (Doc, error) {
	d, err := c.update(c.rows(), c.id, change)
	if err == nil && d == nil {
		err = notFound(singular(c.parent))
	}
	return d, err
}

func keepComment(c *call, d Doc) error {
	if comment := c.body["comment"]; comment != nil {
		d["comment"] = comment
	}
	return nil
}
