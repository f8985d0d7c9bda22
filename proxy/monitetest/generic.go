package monitetest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// handlers are the operations with rules of their own, by "METHOD template";
// generic answers the others.
var handlers = mergeTables(entityHandlers, payableHandlers(), receivableHandlers(), handlerTable{
	"POST " + revokePath: revokeToken,
	"POST /v1/ai/conversations/{conversation_id}/messages": streamMessage,
	"POST /v1/files": uploadFile,
	"GET /v1/document_templates/{document_template_id}/preview": previewTemplate,
})

type handlerTable map[string]func(c *call) *answer

func mergeTables(tables ...handlerTable) handlerTable {
	merged := handlerTable{}
	for _, table := range tables {
		maps.Copy(merged, table)
	}
	return merged
}

// act does what the operation says; everything has been checked but the body
// and the state.
func (s *Simulator) act(c *call) *answer {
	if handler := handlers[c.op.Method+" "+c.op.Template]; handler != nil {
		return handler(c)
	}
	return generic(c)
}

// partnerScoped are the first segments whose resources belong to the partner.
var partnerScoped = []string{
	"entities", "events", "files", "mail_templates", "mailbox_domains", "settings", "webhook_subscriptions",
}

// generic gives every published operation a believable answer from its shape
// alone: a path that ends in a parameter is an item, one that has items below
// it is a collection, any other is a view, a setting or an action.
func generic(c *call) *answer {
	segments := strings.Split(c.op.Template, "/")[2:]
	owner := c.entityID
	if slices.Contains(partnerScoped, segments[0]) {
		owner = ""
	}
	g := genericCall{call: c, data: c.s.data.Load(), owner: owner}
	for i, segment := range segments {
		if !isParam(segment) {
			g.path = append(g.path, segment)
			continue
		}
		g.parent, g.id = strings.Join(g.path, "/"), c.params[len(g.params)]
		g.params = append(g.params, strings.Trim(segment, "{}"))
		if g.data.look(owner, g.parent).get(g.id) == nil {
			return notFound(singular(segments[i-1]))
		}
		g.path = append(g.path, g.id)
	}
	last := segments[len(segments)-1]
	switch {
	case isParam(last):
		return g.item()
	case last == "search": // a POST that only reads
		return listRows(g.data.look(owner, strings.Join(g.path[:len(g.path)-1], "/")).snapshot(), c.r.URL.Query())
	case last == "preview": // likewise
		return jsonAnswer(c.op.Success, doc{"subject_preview": "Preview", "body_preview": "<p>Preview</p>"})
	case strings.HasSuffix(last, "_file"):
		return g.upload(last == "attach_file")
	case last == "logo" && c.op.Method == http.MethodPut:
		return g.upload(true)
	case c.at.param != nil || c.at.methods[http.MethodGet] != nil && c.at.methods[http.MethodPost] != nil:
		return g.collection()
	}
	return g.other()
}

// genericCall is a call whose parents exist.
type genericCall struct {
	*call
	data   *store
	owner  string
	path   []string // segments, with the ids in place of the parameters
	params []string // names of the parameters
	parent string   // path of the collection of the last parameter
	id     string   // value of the last parameter
}

// item answers for one document, which exists (or did a moment ago).
func (g *genericCall) item() *answer {
	rows, what := g.data.look(g.owner, g.parent), singular(g.parent)
	switch g.op.Method {
	case http.MethodGet:
		if d := rows.get(g.id); d != nil {
			return jsonAnswer(g.op.Success, d)
		}
	case http.MethodDelete:
		if removed, _ := rows.remove(g.id, nil); removed {
			g.executed()
			return g.success(doc{})
		}
	default:
		return g.change(rows, g.id, what, nil)
	}
	return notFound(what)
}

func (g *genericCall) collection() *answer {
	path := strings.Join(g.path, "/")
	switch g.op.Method {
	case http.MethodGet:
		return listRows(g.data.look(g.owner, path).snapshot(), g.r.URL.Query())
	case http.MethodPost:
		fields, refusal := g.readJSON()
		if refusal != nil {
			return refusal
		}
		if len(g.params) > 0 {
			fields[g.params[len(g.params)-1]] = g.id
		}
		return g.create(g.data.at(g.owner, path), fields)
	}
	return g.other()
}

// other answers for a view or setting (one document of its own), or an action.
func (g *genericCall) other() *answer {
	settings, path := g.data.at(g.owner, "settings"), strings.Join(g.path, "/")
	switch g.op.Method {
	case http.MethodGet:
		if d := settings.get(path); d != nil {
			return jsonAnswer(g.op.Success, without(d, "id"))
		}
		return jsonAnswer(g.op.Success, doc{"data": []doc{}})
	case http.MethodDelete:
		_, _ = settings.remove(path, nil)
		g.executed()
		return g.success(doc{})
	}
	fields, refusal := g.readJSON()
	if refusal != nil {
		return refusal
	}
	if g.op.Method != http.MethodPost {
		fields["id"] = path
		settings.add(fields)
		g.executed()
		return g.success(without(fields, "id"))
	}
	if g.id == "" {
		g.executed()
		fields["id"] = newUUID()
		return g.success(fields)
	}
	keep := func(doc) *answer { return nil }
	updated, _ := g.data.look(g.owner, g.parent).update(g.id, g.s.config.Now(), keep)
	if updated == nil {
		return notFound(singular(g.parent))
	}
	g.executed()
	return g.success(updated)
}

// create stores a new document of the fields and answers with it.
func (c *call) create(rows *collection, fields doc) *answer {
	now := timestamp(c.s.config.Now())
	fields["id"], fields["created_at"], fields["updated_at"] = newUUID(), now, now
	rows.add(fields)
	c.executed()
	return c.success(fields)
}

// change merges the body into a document; allowed may refuse.
func (c *call) change(rows *collection, id, what string, allowed func(d doc) *answer) *answer {
	fields, refusal := c.readJSON()
	if refusal != nil {
		return refusal
	}
	updated, refusal := rows.update(id, c.s.config.Now(), func(d doc) *answer {
		if allowed != nil {
			if refusal := allowed(d); refusal != nil {
				return refusal
			}
		}
		merge(d, fields)
		return nil
	})
	switch {
	case refusal != nil:
		return refusal
	case updated == nil:
		return notFound(what)
	}
	c.executed()
	return c.success(updated)
}

// merge sets fields in d, objects one level down field by field. What the
// server owns stays.
func merge(d, fields doc) {
	for name, value := range fields {
		if slices.Contains([]string{"id", "created_at", "updated_at", "entity_id", "status"}, name) {
			continue
		}
		old, isOld := d[name].(doc)
		add, isAdd := value.(doc)
		if isOld && isAdd {
			merged := maps.Clone(old)
			maps.Copy(merged, add)
			value = merged
		}
		d[name] = value
	}
}

// success answers with the status that is published for the operation.
func (c *call) success(d doc) *answer {
	if c.op.Success == http.StatusNoContent {
		return &answer{status: http.StatusNoContent}
	}
	return jsonAnswer(c.op.Success, d)
}

// readJSON reads the body as an object, and wants the named fields. No body is
// an empty object: most of Monite's actions have none.
func (c *call) readJSON(required ...string) (doc, *answer) {
	body, refusal := c.readBody()
	if refusal != nil {
		return nil, refusal
	}
	fields := doc{}
	if len(body) > 0 {
		dec := json.NewDecoder(bytes.NewReader(body))
		err := dec.Decode(&fields)
		if err == nil {
			if _, end := dec.Token(); end != io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		if err != nil || fields == nil || !isJSON(c.r.Header.Get("Content-Type")) {
			return nil, invalid(problem{[]string{"body"}, "value is not a valid dict", "type_error.dict"})
		}
	}
	var problems []problem
	for _, name := range required {
		if fields[name] == nil {
			problems = append(problems, missing("body", name))
		}
	}
	if len(problems) > 0 {
		return nil, invalid(problems...)
	}
	return fields, nil
}

func without(d doc, names ...string) doc {
	out := doc{}
	for name, value := range d {
		if !slices.Contains(names, name) {
			out[name] = value
		}
	}
	return out
}

// singular makes "payables" from a path such as "counterparts/<id>/addresses"
// readable in an error: "address".
func singular(path string) string {
	last := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case strings.HasSuffix(last, "ies"):
		return strings.TrimSuffix(last, "ies") + "y"
	case strings.HasSuffix(last, "sses"):
		return strings.TrimSuffix(last, "es")
	}
	return strings.TrimSuffix(last, "s")
}
