package resources

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// call is a Request whose parents exist and whose query and body were judged.
type call struct {
	*Request
	api  *API
	data *state.Store

	query  Doc // the published parameters, as values
	body   Doc // the body if it is an object, else an empty one
	upload Doc // the file of a multipart form

	owner  string   // of the path: the entity, or empty for the partner
	path   string   // without /v1/, with ids
	parent string   // path of the collection of the last parameter
	id     string   // value of the last parameter
	chain  []string // names of the parameters
}

// partnerScoped are the first segments whose resources belong to the partner.
var partnerScoped = []string{
	"entities", "events", "files", "mail_templates", "mailbox_domains", "settings", "webhook_subscriptions",
}

// locate resolves the path. It refuses paths below a document that does not exist, or
// that belongs to another entity.
func (c *call) locate() error {
	segments := strings.Split(c.Op.Template, "/")[2:]
	if c.owner = c.EntityID; slices.Contains(partnerScoped, segments[0]) {
		c.owner = ""
	}
	var path []string
	for i, segment := range segments {
		if !isParam(segment) {
			path = append(path, segment)
			continue
		}
		c.parent, c.id = strings.Join(path, "/"), c.Params[len(c.chain)]
		c.chain = append(c.chain, strings.Trim(segment, "{}"))
		if c.rowsAt(c.parent).Get(c.id) == nil {
			return notFound(singular(segments[i-1]))
		}
		path = append(path, c.id)
	}
	c.path = strings.Join(path, "/")
	return nil
}

// rowsAt returns a collection of the owner of the path. Some are views of
// others: the accounting payables are the payables.
func (c *call) rowsAt(path string) *state.Collection {
	switch path {
	case "accounting/payables":
		path = "payables"
	case "accounting/receivables":
		path = "receivables"
	}
	return c.data.At(c.owner, path)
}

// at returns a collection of the entity that is acted for.
func (c *call) at(path string) *state.Collection { return c.data.At(c.EntityID, path) }

func (c *call) rows() *state.Collection { return c.rowsAt(c.parent) }

func (c *call) maker(seed string) *schema.Maker { return &schema.Maker{Now: c.api.now(), Seed: seed} }

// param returns a parameter of the path by its name.
func (c *call) param(name string) string {
	if i := slices.Index(c.chain, name); i >= 0 {
		return c.Params[i]
	}
	return ""
}

// user returns the acting user, or nil for the partner: as JSON has it.
func (c *call) user() any {
	if c.EntityUserID == "" {
		return nil
	}
	return c.EntityUserID
}

// actor returns the acting user, or for a partner the entity's first user,
// where a user is required.
func (c *call) actor() string {
	if c.EntityUserID != "" {
		return c.EntityUserID
	}
	for _, user := range c.at("entity_users").All() {
		return text(user["id"])
	}
	return schema.FixedUUID(c.EntityID + "/nobody")
}

// entity returns the entity that is acted for.
func (c *call) entity() Doc { return c.data.At("", "entities").Get(c.EntityID) }

// template is the operation's path without /v1/.
func (c *call) template() string { return strings.TrimPrefix(c.Op.Template, "/v1/") }

func (c *call) reads() bool { return c.Op.Method == http.MethodGet }

// update changes one document and says when.
func (c *call) update(rows *state.Collection, id string, change func(d Doc) error) (Doc, error) {
	return rows.Update(id, func(d Doc) error {
		if err := change(d); err != nil {
			return err
		}
		d["updated_at"] = c.api.timestamp()
		return nil
	})
}

// workTakes is the time that a recognition, a bank or an export takes.
const workTakes = 2 * time.Second

// later does something when such work ends, with the data of that time: by then a
// snapshot may have been restored.
func (c *call) later(do func(c *call)) {
	c.api.agenda.add(c.api.now().Add(workTakes), func() {
		then := *c
		then.data = c.api.Store()
		do(&then)
	})
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

func number(value any) int {
	switch value := value.(type) {
	case int:
		return value
	case float64:
		return int(value)
	}
	return 0
}

func float(value any) float64 {
	switch value := value.(type) {
	case int:
		return float64(value)
	case float64:
		return value
	}
	return 0
}

func object(value any) Doc {
	d, _ := value.(Doc)
	return d
}

func list(value any) []Doc { return schema.List(value) }

// texts returns the strings of a JSON array.
func texts(value any) []string {
	switch value := value.(type) {
	case []string:
		return value
	case []any:
		var out []string
		for _, one := range value {
			out = append(out, text(one))
		}
		return out
	}
	return nil
}

func without(d Doc, names ...string) Doc {
	out := Doc{}
	for name, value := range d {
		if !slices.Contains(names, name) {
			out[name] = value
		}
	}
	return out
}
