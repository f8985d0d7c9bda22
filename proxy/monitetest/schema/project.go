package schema

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Maker makes values that a document allows, from what is known.
type Maker struct {
	// Now is the time of what is made.
	Now time.Time
	// Seed makes one object's values differ from another's: its id.
	Seed string
	// Full also fills in what is optional, as demo data has it.
	Full bool

	depth int
}

// Project returns the part of a value that a schema allows, with what is
// required and missing filled in. What does not fit and is optional is left
// out. It reports false where the value cannot be made to fit.
func (m *Maker) Project(s *Schema, value any) (any, bool) { return m.project(s, "", value) }

func (m *Maker) project(s *Schema, name string, value any) (any, bool) {
	switch {
	case len(s.AnyOf) > 0:
		return m.projectAlternatives(s, name, value)
	case s.Type == "object":
		return m.projectObject(s, value)
	case s.Type == "array":
		return m.projectArray(s, name, value)
	}
	if text, ok := value.(string); ok {
		value = fitDate(s.Format, text)
	}
	return value, len(s.Judge(value)) == 0
}

// fitDate makes a date of a time and a time of a date.
func fitDate(format, text string) string {
	switch {
	case format == "date" && len(text) > 10 && isDateTime(text):
		return text[:10]
	case format == "date-time" && isDate(text):
		return text + "T00:00:00+00:00"
	}
	return text
}

func (m *Maker) projectObject(s *Schema, value any) (any, bool) {
	fields, ok := value.(Doc)
	if !ok {
		return nil, false
	}
	if len(s.Properties) == 0 && s.Values == nil {
		return fields, true
	}
	if m.depth++; m.depth > 12 {
		panic("schema: " + s.Name + " requires itself")
	}
	defer func() { m.depth-- }()
	out := make(Doc, len(s.Properties))
	for i := range s.Properties {
		p := &s.Properties[i]
		if field, is := fields[p.Name]; is {
			if fitted, ok := m.project(p.Schema, p.Name, field); ok {
				out[p.Name] = fitted
				continue
			}
		}
		if made, ok := m.absent(p); ok {
			out[p.Name] = made
		}
	}
	if s.Values != nil {
		for name, field := range fields {
			if s.Property(name) == nil {
				if fitted, ok := m.project(s.Values, name, field); ok {
					out[name] = fitted
				}
			}
		}
	}
	return out, true
}

// absent makes the value of a property that is not known.
func (m *Maker) absent(p *Property) (any, bool) {
	if len(p.Default) > 0 {
		var value any
		_ = json.Unmarshal(p.Default, &value)
		if fitted, ok := m.project(p.Schema, p.Name, plainFloat(value)); ok {
			return fitted, true
		}
	}
	if p.Required {
		return m.fill(p.Schema, p.Name), true
	}
	if m.Full && m.depth <= 2 && len(p.Schema.notNull().AnyOf) == 0 {
		return m.fill(p.Schema.notNull(), p.Name), true
	}
	return nil, false
}

func plainFloat(value any) any {
	if number, ok := value.(float64); ok && number == math.Trunc(number) {
		return int(number)
	}
	return value
}

func (m *Maker) projectArray(s *Schema, name string, value any) (any, bool) {
	items, ok := value.([]any)
	if docs, isDocs := value.([]Doc); isDocs {
		items, ok = make([]any, len(docs)), true
		for i, d := range docs {
			items[i] = d
		}
	}
	if texts, isTexts := value.([]string); isTexts {
		items, ok = make([]any, len(texts)), true
		for i, text := range texts {
			items[i] = text
		}
	}
	if !ok || len(items) < s.MinItems || s.MaxItems != nil && len(items) > *s.MaxItems {
		return nil, false
	}
	out := make([]any, 0, len(items))
	for i, item := range items {
		if s.Items == nil {
			out = append(out, item)
			continue
		}
		fitted, ok := m.item(i).project(s.Items, name, item)
		if !ok {
			return nil, false
		}
		out = append(out, fitted)
	}
	return out, true
}

// item returns a maker whose values differ from those of the other items.
func (m *Maker) item(i int) *Maker {
	if i == 0 {
		return m
	}
	other := *m
	other.Seed += "/" + strconv.Itoa(i)
	return &other
}

// projectAlternatives takes the first alternative that loses the least and
// makes up the least.
func (m *Maker) projectAlternatives(s *Schema, name string, value any) (best any, found bool) {
	least := math.MaxInt
	fields, _ := value.(Doc)
	for _, alternative := range s.AnyOf {
		if alternative.contradicts(fields) {
			continue
		}
		fitted, ok := m.project(alternative, name, value)
		if !ok {
			continue
		}
		if cost := lostFields(value, fitted) + madeUp(value, fitted); cost < least {
			best, found, least = fitted, true, cost
		}
	}
	return best, found
}

// contradicts reports whether the fields say that they are of another
// alternative: a quote is not an invoice.
func (s *Schema) contradicts(fields Doc) bool {
	for i := range s.Properties {
		p := &s.Properties[i]
		if len(p.Schema.Enum) != 1 {
			continue
		}
		if said, is := fields[p.Name].(string); is && said != p.Schema.Enum[0] {
			return true
		}
	}
	return false
}

// lostFields counts what a projection left out or had to change.
func lostFields(value, fitted any) (lost int) {
	fields, ok := value.(Doc)
	if !ok {
		return 0
	}
	kept, _ := fitted.(Doc)
	for name, field := range fields {
		switch have, is := kept[name]; {
		case !is:
			lost++
		default:
			before, isText := field.(string)
			after, _ := have.(string)
			if isText && before != after && fitDate("date", before) != after {
				lost += 10 // the type of an invoice is not that of a quote
			}
			lost += lostFields(field, have)
		}
	}
	return lost
}

// madeUp counts what a projection had to add.
func madeUp(value, fitted any) (added int) {
	fields, _ := value.(Doc)
	kept, _ := fitted.(Doc)
	for name := range kept {
		if _, is := fields[name]; !is {
			added++
		}
	}
	return added
}

// Fill makes a value of which nothing is known.
func (m *Maker) Fill(s *Schema) any { return m.fill(s, "") }

func (m *Maker) fill(s *Schema, name string) any {
	for _, alternative := range s.AnyOf {
		if alternative.Type == "null" && !m.Full {
			return nil
		}
	}
	switch s = s.notNull(); s.Type {
	case "object":
		made, _ := m.projectObject(s, Doc{})
		return made
	case "array":
		count := s.MinItems
		if m.Full && m.depth <= 2 && s.Items != nil && (s.MaxItems == nil || *s.MaxItems > 0) {
			count = max(count, 1)
		}
		items := make([]any, count)
		for i := range items {
			if s.Items != nil {
				items[i] = m.item(i).fill(s.Items, name)
			}
		}
		return items
	case "string":
		return m.text(s, name)
	case "integer", "number":
		return m.number(s, name)
	case "boolean":
		return name == "is_vendor" || name == "is_active" || name == "success"
	case "null":
		return nil
	}
	return Doc{}
}
