package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

// date is a day, as Monite's Go client has it.
type date struct{ time.Time }

func (d *date) UnmarshalJSON(text []byte) error {
	var day string
	if err := json.Unmarshal(text, &day); err != nil {
		return err
	}
	parsed, err := time.Parse(time.DateOnly, day)
	d.Time = parsed
	return err
}

var (
	timeType = reflect.TypeFor[time.Time]()
	dateType = reflect.TypeFor[date]()
	anyType  = reflect.TypeFor[any]()
)

// goType is the type that a Go client generated from the document has for a
// schema: structs, pointers for what may be left out, time.Time, days.
// Alternatives stay open; judge tries them one by one.
func (d *document) goType(s schemaDoc, depth int) reflect.Type {
	s = d.resolve(s)
	switch s["type"] {
	case "object":
		properties, _ := s["properties"].(map[string]any)
		if len(properties) == 0 || depth > 8 {
			return anyType
		}
		return d.structType(s, properties, depth)
	case "array":
		items, _ := s["items"].(schemaDoc)
		return reflect.SliceOf(d.goType(items, depth+1))
	case "integer":
		return reflect.TypeFor[int]()
	case "number":
		return reflect.TypeFor[float64]()
	case "boolean":
		return reflect.TypeFor[bool]()
	case "string":
		switch s["format"] {
		case "date":
			return dateType
		case "date-time":
			return timeType
		}
		return reflect.TypeFor[string]()
	}
	return anyType
}

func (d *document) structType(s schemaDoc, properties map[string]any, depth int) reflect.Type {
	required, _ := s["required"].([]any)
	var fields []reflect.StructField
	for i, name := range slices.Sorted(maps.Keys(properties)) {
		property := d.goType(properties[name].(schemaDoc), depth+1)
		if !slices.Contains(required, any(name)) && property != anyType {
			property = reflect.PointerTo(property)
		}
		fields = append(fields, reflect.StructField{Name: exported(name, i), Type: property, Tag: reflect.StructTag(`json:"` + name + `"`)})
	}
	return reflect.StructOf(fields)
}

func exported(name string, i int) string {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, name)
	return fmt.Sprintf("F%d%s", i, letters)
}

// decode reads a response as a Go client does: of alternatives the first that
// takes it, without fields that it does not know.
func (d *document) decode(s schemaDoc, text []byte) error {
	s = d.resolve(s)
	for _, key := range []string{"anyOf", "oneOf"} {
		if alternatives, ok := s[key].([]any); ok {
			var err error
			for _, a := range alternatives {
				if err = d.decode(a.(schemaDoc), text); err == nil {
					return nil
				}
			}
			return err
		}
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	return dec.Decode(reflect.New(d.goType(s, 0)).Interface())
}

// Types such as Monite's Go client has take every response to a read.
func TestGoTypesReadEveryDemoResponse(t *testing.T) {
	d := load(t)
	a := newApp(t, d)
	read, operations := 0, 0
	for _, op := range d.operations() {
		_, pointer, mediaType := d.response(op)
		if op.method != "GET" || pointer == "" || mediaType != "application/json" {
			continue
		}
		a.sim.Restore("start")
		a.prepare(op)
		content := op.spec["responses"].(map[string]any)["200"].(map[string]any)["content"].(map[string]any)
		s := content[mediaType].(map[string]any)["schema"].(schemaDoc)
		g := &generator{d: d, ids: a.id}
		operations++
		for _, target := range a.targets(op) {
			reply := a.send("GET", target+"?"+g.query(op), "", nil, a.tokenFor(op))
			if reply.Code != 200 {
				t.Errorf("%s = %d", target, reply.Code)
				continue
			}
			read++
			if err := d.decode(s, reply.Body.Bytes()); err != nil {
				t.Errorf("%s: %v in %.300s", target, err, reply.Body)
			}
		}
	}
	t.Logf("Go types read %d responses of %d operations", read, operations)
}
