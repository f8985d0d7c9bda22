package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// mutation is one way to break a body.
type mutation struct {
	kind string // missing, extra, type, enum, long
	loc  []any  // where, below "body"
	body any
}

// mutations breaks a body, one place at a time, in the ways that the schema
// forbids.
func (d *document) mutations(s schemaDoc, body any) (all []mutation) {
	d.mutate(s, body, nil, func(kind string, loc []any, change func(parent any)) {
		fresh := clone(body)
		parent := fresh
		for _, step := range loc[:len(loc)-1] {
			parent = child(parent, step)
		}
		change(parent)
		all = append(all, mutation{kind, loc, fresh})
	})
	return all
}

func child(parent, step any) any {
	if i, ok := step.(int); ok {
		return parent.([]any)[i]
	}
	return parent.(map[string]any)[step.(string)]
}

func clone(value any) any {
	text, _ := json.Marshal(value)
	var fresh any
	_ = json.Unmarshal(text, &fresh)
	return fresh
}

// mutate visits everything in a value that its schema says something about.
func (d *document) mutate(s schemaDoc, value any, loc []any, found func(kind string, loc []any, change func(parent any))) {
	s = d.chosen(s, value)
	set := func(kind string, wrong any) {
		step := loc[len(loc)-1]
		found(kind, loc, func(parent any) {
			if i, ok := step.(int); ok {
				parent.([]any)[i] = wrong
			} else {
				parent.(map[string]any)[step.(string)] = wrong
			}
		})
	}
	if len(loc) > 0 && s["type"] != nil {
		wrong := any([]any{"x"})
		if s["type"] == "array" {
			wrong = map[string]any{"x": 1}
		}
		set("type", wrong)
		if s["type"] == "string" {
			set("type", 4711)
		} else {
			set("type", "text")
		}
		set("type", nil)
	}
	if len(loc) > 0 && (s["enum"] != nil || s["const"] != nil) {
		set("enum", "no-such-member")
	}
	if most, ok := number(s["maxLength"]); ok && len(loc) > 0 {
		set("long", strings.Repeat("x", int(most)+1))
	}
	fields, isObject := value.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	if isObject && properties != nil {
		if s["additionalProperties"] == false {
			found("extra", append(slices.Clone(loc), "no_such_field"), func(parent any) { parent.(map[string]any)["no_such_field"] = 1 })
		}
		required, _ := s["required"].([]any)
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			at := append(slices.Clone(loc), name)
			if slices.Contains(required, any(name)) {
				found("missing", at, func(parent any) { delete(parent.(map[string]any), name) })
			}
			if property, ok := properties[name].(schemaDoc); ok {
				d.mutate(property, fields[name], at, found)
			}
		}
	}
	if items, ok := value.([]any); ok && len(items) > 0 {
		if item, ok := s["items"].(schemaDoc); ok {
			d.mutate(item, items[0], append(slices.Clone(loc), 0), found)
		}
	}
}

// chosen resolves references, and takes the first alternative for objects that
// the generator takes.
func (d *document) chosen(s schemaDoc, value any) schemaDoc {
	s = d.resolve(s)
	for _, key := range []string{"anyOf", "oneOf"} {
		alternatives, ok := s[key].([]any)
		if !ok {
			continue
		}
		for _, a := range alternatives {
			alternative := d.resolve(a.(schemaDoc))
			if alternative["type"] == "null" {
				continue
			}
			if _, isObject := value.(map[string]any); isObject && alternative["type"] != "object" {
				continue
			}
			return d.chosen(alternative, value)
		}
	}
	return s
}

// Each published request is broken in every way that the document forbids:
// each time the response is 422 and its detail names the place.
//
// Each run sends one in three of them, with LONG all.
func TestWrongBodiesAreRefused(t *testing.T) {
	d := load(t)
	a := newApp(t, d)
	count, total, misplaced := map[string]int{}, 0, 0
	step := wiretest.Sized(3, 1)
	for _, op := range d.operations() {
		s, mediaType := d.body(op)
		if s == nil || mediaType != "application/json" {
			continue
		}
		a.sim.Restore("start")
		a.prepare(op)
		g := &generator{d: d, full: true, ids: a.id}
		body := g.value("", s)
		target := a.targets(op)[0]
		if query := g.query(op); query != "" {
			target += "?" + query
		}
		token := a.tokenFor(op)
		for _, m := range d.mutations(s, body) {
			if d.validate(d.bodyPointer(op, mediaType), m.body) == nil {
				continue // another alternative allows it
			}
			count[m.kind]++
			if total++; total%step != 0 {
				continue
			}
			text, _ := json.Marshal(m.body)
			reply := a.send(op.method, target, mediaType, text, token)
			if reply.Code != http.StatusUnprocessableEntity {
				t.Errorf("%s, %s at %v: %d %.200s", op, m.kind, m.loc, reply.Code, reply.Body)
				continue
			}
			if !named(reply.Body.Bytes(), m.loc) {
				misplaced++
				t.Errorf("%s, %s at %v: %.300s", op, m.kind, m.loc, reply.Body)
			}
		}
	}
	t.Logf("%d wrong bodies refused with 422, of %d: %v; %d without the right place", total/step, total, count, misplaced)
	if total < 3000 {
		t.Errorf("%d wrong bodies, want at least 3,000", total)
	}
}

// named reports whether the detail of a 422 names the place.
func named(body []byte, loc []any) bool {
	var refusal struct {
		Detail []struct {
			Loc []any  `json:"loc"`
			Msg string `json:"msg"`
		} `json:"detail"`
	}
	if json.Unmarshal(body, &refusal) != nil {
		return false
	}
	want := fmt.Sprint(append([]any{"body"}, loc...)...)
	for _, problem := range refusal.Detail {
		if got := fmt.Sprint(problem.Loc...); got == want && problem.Msg != "" {
			return true
		}
	}
	return false
}
