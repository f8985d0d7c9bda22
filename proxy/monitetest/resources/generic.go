package resources

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// handler does what an operation says. It returns the document, the row or
// the page that the response is made from; nil where there is none.
type handler func(c *call) (any, error)

// handlers are the operations with behaviour of their own, by "METHOD path";
// generic serves the others.
var handlers = map[string]handler{}

// kind holds the peculiarities of a collection's documents.
type kind struct {
	object string // its name in events and webhooks; empty: there are none
	unique string // a field that no two documents share
	// fill completes a new document, and may refuse it.
	fill func(c *call, d Doc) error
	// guard may refuse that a document is changed or deleted.
	guard func(c *call, d Doc) error
	// changed settles what follows from a change, on the copy that is stored.
	changed func(c *call, d Doc) error
	// life are the actions that change the status, by the last segment of their paths.
	life    map[string]transition
	history bool // changes of the status are kept below the document
	// below are fields that filters read from documents below: "line_items.id".
	below map[string]string
}

// kinds are by the path of the collection, with {names}.
var kinds = map[string]*kind{}

var plainKind = &kind{}

// behave adds the behaviour of one resource; each file's init calls it.
func behave(byKind map[string]*kind, byOperation map[string]handler) {
	maps.Copy(kinds, byKind)
	maps.Copy(handlers, byOperation)
}

// Do does one operation.
func (a *API) Do(r *Request) *Reply {
	c := &call{Request: r, api: a}
	err := c.judge() // a body may come slowly: nobody waits for it
	a.whole.RLock()
	defer a.whole.RUnlock()
	a.agenda.run(a)
	c.data = a.Store()
	var value any
	if err == nil {
		value, err = c.do()
	}
	if err != nil {
		refusal, ok := errors.AsType[*Refusal](err)
		if !ok {
			panic(err)
		}
		return &Reply{Status: refusal.Status, ContentType: "application/json", Body: refusal.Body(), Problems: refusal.Problems}
	}
	reply, ok := value.(*Reply)
	if !ok {
		reply = c.render(value)
	}
	reply.Status, reply.Executed = r.Op.Success, !c.onlyReads()
	return reply
}

func (c *call) do() (any, error) {
	if err := c.locate(); err != nil {
		return nil, err
	}
	if err := c.checkReferences(); err != nil {
		return nil, err
	}
	if handle := handlers[c.Op.Method+" "+c.template()]; handle != nil {
		return handle(c)
	}
	return c.generic()
}

// onlyReads are the POSTs that change nothing.
func (c *call) onlyReads() bool {
	_, last, _ := cutLast(c.template())
	return c.reads() || last == "search" || last == "preview" || c.template() == "receivables/{receivable_id}/verify"
}

// generic serves an operation from its shape alone: a path that ends in a
// parameter is an item, then there are collections, and any other is a view, a
// setting or an action.
func (c *call) generic() (any, error) {
	parent, last, _ := cutLast(c.template())
	collection, _, _ := cutLast(parent)
	switch p := c.api.places[c.template()]; {
	case isParam(last):
		return c.item()
	case c.kindOf(collection).life[last].to != "":
		return c.act(collection, last)
	case strings.HasSuffix(last, "_file") || last == "logo" && c.upload != nil:
		return c.attach()
	case p.collection && c.reads():
		return c.page(c.rowsAt(c.path).Rows())
	case p.collection && c.Op.Method == http.MethodPost:
		return c.create(c.body)
	}
	return c.other()
}

func (c *call) kindOf(template string) *kind {
	if k := kinds[template]; k != nil {
		return k
	}
	return plainKind
}

// itemKind is the kind of the document that the path ends in.
func (c *call) itemKind() *kind {
	parent, _, _ := cutLast(c.template())
	return c.kindOf(parent)
}

// item serves one document, which exists (or existed until just now).
func (c *call) item() (any, error) {
	switch c.Op.Method {
	case http.MethodGet:
		if row := c.rows().Row(c.id); row != nil {
			return row, nil
		}
	case http.MethodDelete:
		return c.remove()
	default:
		return c.change(c.body)
	}
	return nil, notFound(singular(c.parent))
}

func (c *call) remove() (any, error) {
	k := c.itemKind()
	removed, err := c.rows().Remove(c.id, func(d Doc) error {
		if k.guard != nil {
			return k.guard(c, d)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case removed == nil:
		return nil, notFound(singular(c.parent))
	}
	c.event(k.object, "deleted", removed)
	return removed, nil
}

// serverOwned are fields that no body may set.
var serverOwned = []string{"id", "created_at", "updated_at", "entity_id"}

// create stores a new document made of the fields.
func (c *call) create(fields Doc) (Doc, error) {
	k := c.kindOf(c.template())
	d := maps.Clone(fields)
	c.stamp(d)
	if k.fill != nil {
		if err := k.fill(c, d); err != nil {
			return nil, err
		}
	}
	d = c.complete(c.api.places[c.template()].item, d)
	rows := c.rowsAt(c.path)
	if k.unique == "" {
		rows.Add(d)
	} else if other := rows.AddUnless(d, func(other Doc) bool { return d[k.unique] != nil && other[k.unique] == d[k.unique] }); other != nil {
		return nil, c.conflict("A " + singular(c.path) + " with this " + k.unique + " exists")
	}
	c.event(k.object, "created", d)
	return d, nil
}

// stamp sets what the server owns.
func (c *call) stamp(d Doc) {
	now := c.api.timestamp()
	d["id"], d["created_at"], d["updated_at"] = c.api.newID(c.EntityID+"/"+c.path), now, now
	d["entity_id"], d["created_by"] = c.EntityID, c.actor()
	for _, name := range []string{"created_by_entity_user_id", "entity_user_id", "was_created_by_user_id", "created_by_user_id"} {
		if d[name] == nil {
			d[name] = c.user()
		}
	}
	if d["created_by_entity_user_id"] == nil {
		d["created_by_entity_user_id"] = c.actor()
	}
	if len(c.chain) > 0 {
		d[c.chain[len(c.chain)-1]] = c.id
	}
}

// complete adds to a document the values that its schema requires and that are
// missing, once: later responses show the same.
func (c *call) complete(s *schema.Schema, d Doc) Doc {
	if s == nil {
		return d
	}
	fitted, ok := c.maker(text(d["id"])).Project(s, d)
	full, isDoc := fitted.(Doc)
	if !ok || !isDoc {
		return d
	}
	for name, value := range full {
		if have, is := d[name]; !is || have == nil {
			d[name] = value
		}
	}
	return d
}

// change merges fields into the document of the path.
func (c *call) change(fields Doc) (Doc, error) {
	k := c.itemKind()
	d, err := c.update(c.rows(), c.id, func(d Doc) error {
		if k.guard != nil {
			if err := k.guard(c, d); err != nil {
				return err
			}
		}
		merge(d, fields)
		if k.changed != nil {
			return k.changed(c, d)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case d == nil:
		return nil, notFound(singular(c.parent))
	}
	c.event(k.object, "updated", d)
	return d, nil
}

// merge sets fields in d, objects field by field. What the server owns stays.
func merge(d, fields Doc) {
	for name, value := range fields {
		if slices.Contains(serverOwned, name) {
			continue
		}
		old, isOld := d[name].(Doc)
		add, isAdd := value.(Doc)
		if isOld && isAdd {
			merged := maps.Clone(old)
			merge(merged, add)
			value = merged
		}
		d[name] = value
	}
}

// attach hangs an uploaded file on the document of the path.
func (c *call) attach() (any, error) {
	file := c.keepFile(c.parent[strings.LastIndexByte(c.parent, '/')+1:])
	d, err := c.update(c.rows(), c.id, func(d Doc) error {
		d["file"], d["file_id"], d["file_url"] = file, file["id"], file["url"]
		return nil
	})
	if d == nil && err == nil {
		err = notFound(singular(c.parent))
	}
	return d, err
}
