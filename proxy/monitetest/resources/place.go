package resources

import (
	"net/http"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// place is one published path: what stands there and what it looks like.
type place struct {
	methods map[string]*schema.Operation
	// collection reports whether documents are listed or made here, and item
	// is then the schema of one of them.
	collection bool
	item       *schema.Schema
}

// places finds the collections: a path with items below it, or one that is
// both listed and added to.
func places(table *schema.Table) map[string]*place {
	all := map[string]*place{}
	for i := range table.Operations {
		op := &table.Operations[i]
		template := strings.TrimPrefix(op.Template, "/v1/")
		if all[template] == nil {
			all[template] = &place{methods: map[string]*schema.Operation{}}
		}
		all[template].methods[op.Method] = op
	}
	below := map[string]*place{}
	for template, p := range all {
		if parent, last, ok := cutLast(template); ok && isParam(last) {
			below[parent] = p
		}
	}
	for template, p := range all {
		get, post := p.methods[http.MethodGet], p.methods[http.MethodPost]
		p.collection = below[template] != nil || get != nil && post != nil || get != nil && listItem(get) != nil
		if !p.collection {
			continue
		}
		switch item := below[template]; {
		case item != nil && response(item.methods[http.MethodGet]) != nil:
			p.item = response(item.methods[http.MethodGet])
		case listItem(get) != nil:
			p.item = listItem(get)
		case response(post) != nil:
			p.item = post.Response
		case item != nil:
			p.item = response(item.methods[http.MethodPatch])
		}
	}
	return all
}

func response(op *schema.Operation) *schema.Schema {
	if op == nil {
		return nil
	}
	return op.Response
}

// listItem returns the schema of the items of a list, or nil.
func listItem(op *schema.Operation) *schema.Schema {
	if op == nil || op.Response == nil {
		return nil
	}
	if data := op.Response.Property("data"); data != nil && data.Schema.Type == "array" {
		return data.Schema.Items
	}
	return nil
}

func cutLast(path string) (parent, last string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

func isParam(segment string) bool { return strings.HasPrefix(segment, "{") }

// placeOf returns the place of a path with ids in it, such as
// "counterparts/<id>/addresses".
func (a *API) placeOf(path string) *place {
	if p := a.places[path]; p != nil {
		return p
	}
	segments := strings.Split(path, "/")
	for template, p := range a.places {
		parts := strings.Split(template, "/")
		if len(parts) != len(segments) {
			continue
		}
		same := true
		for i := range parts {
			same = same && (parts[i] == segments[i] || isParam(parts[i]) && schema.IsUUID(segments[i]))
		}
		if same {
			return p
		}
	}
	return nil
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
