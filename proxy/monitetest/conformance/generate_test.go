package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// generator makes values of the document's schemas, as a client would: ids are
// those of documents that exist.
type generator struct {
	d    *document
	full bool // with everything that is optional
	// ids returns the id that a field such as counterpart_id wants, or "".
	ids   func(name string) string
	depth int
}

func (g *generator) value(name string, s schemaDoc) any {
	s = g.d.resolve(s)
	for _, key := range []string{"anyOf", "oneOf"} {
		if alternatives, ok := s[key].([]any); ok {
			return g.alternative(name, alternatives)
		}
	}
	if fixed, ok := s["const"]; ok {
		return fixed
	}
	if members, ok := s["enum"].([]any); ok {
		return g.member(name, members)
	}
	switch s["type"] {
	case "object":
		return g.object(s)
	case "array":
		return g.array(name, s)
	case "integer", "number":
		return g.number(name, s)
	case "boolean":
		return true
	case "string":
		return g.text(name, s)
	}
	return map[string]any{}
}

// alternative takes the first that is not null; of scripts the object.
func (g *generator) alternative(name string, alternatives []any) any {
	for _, a := range alternatives {
		if s := g.d.resolve(a.(schemaDoc)); s["type"] == "null" || name == "script" && s["type"] != "boolean" {
			continue
		}
		return g.value(name, a.(schemaDoc))
	}
	return nil
}

func (g *generator) member(name string, members []any) any {
	for _, wanted := range []string{"EUR", "IT", "payable", "organization"} {
		if slices.Contains(members, any(wanted)) {
			return wanted
		}
	}
	return members[0]
}

func (g *generator) object(s schemaDoc) any {
	g.depth++
	defer func() { g.depth-- }()
	out := map[string]any{}
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if slices.Contains(required, any(name)) || g.full && g.depth < 4 {
			out[name] = g.value(name, properties[name].(schemaDoc))
		}
	}
	return out
}

func (g *generator) array(name string, s schemaDoc) any {
	out := []any{}
	least := 1
	if count, ok := number(s["minItems"]); ok {
		least = max(least, int(count))
	}
	for range least {
		item, _ := s["items"].(schemaDoc)
		out = append(out, g.value(strings.TrimSuffix(name, "s"), item))
	}
	return out
}

func number(value any) (float64, bool) {
	text, ok := value.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := text.Float64()
	return f, err == nil
}

func (g *generator) number(name string, s schemaDoc) any {
	value := 7.0
	if strings.Contains(name, "amount") || name == "value" {
		value = 1000
	}
	if least, ok := number(s["minimum"]); ok && value < least {
		value = least
	}
	if least, ok := number(s["exclusiveMinimum"]); ok && value <= least {
		value = least + 1
	}
	if most, ok := number(s["maximum"]); ok && value > most {
		value = most
	}
	return int(value)
}

func (g *generator) text(name string, s schemaDoc) any {
	switch s["format"] {
	case "uuid":
		if id := g.ids(name); id != "" {
			return id
		}
		return "11111111-2222-4333-8444-555555555555"
	case "date":
		return "2027-03-01"
	case "date-time":
		return "2027-03-01T10:00:00Z"
	case "email":
		return "someone@example.com"
	case "uri":
		return "https://example.com/" + name
	case "hostname":
		return "mail.example.com"
	case "ipvanyaddress":
		return "192.0.2.1"
	case "color":
		return "#102030"
	case "binary":
		return "%PDF-1.4"
	}
	text := "Some" + strings.ReplaceAll(name, "_", "")
	if strings.HasSuffix(name, "country") {
		text = "IT"
	}
	if least, ok := number(s["minLength"]); ok {
		for len(text) < int(least) {
			text += "x"
		}
	}
	if most, ok := number(s["maxLength"]); ok && len(text) > int(most) {
		text = text[:int(most)]
	}
	return text
}

// query makes the required query parameters, or all of them.
func (g *generator) query(op operation) string {
	var parts []string
	for _, p := range queryParameters(op) {
		if p["required"] == true {
			parts = append(parts, p["name"].(string)+"="+fmt.Sprint(scalar(g.value(p["name"].(string), p["schema"].(schemaDoc)))))
		}
	}
	return strings.Join(parts, "&")
}

func scalar(value any) any {
	if items, ok := value.([]any); ok {
		return items[0]
	}
	return value
}

func itoa(n int) string { return strconv.Itoa(n) }
