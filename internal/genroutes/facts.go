package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// jsonSchema is a schema as the document has it, without its prose.
type jsonSchema struct {
	Ref                  string `json:"$ref"`
	Type, Format         string
	Enum                 []any
	Const                any
	Pattern              string
	Properties           json.RawMessage // its order counts
	Required             []string
	AdditionalProperties json.RawMessage
	Items                *jsonSchema
	AnyOf, OneOf, AllOf  []*jsonSchema
	Minimum, Maximum     *float64
	ExclusiveMinimum     *float64
	MinLength, MaxLength *int
	MinItems, MaxItems   *int
	UniqueItems          bool
	Default              json.RawMessage
}

// facts turns the document's schemas into the table's: those that an operation
// leads to. It keeps its first error.
type facts struct {
	document map[string]*jsonSchema
	places   map[string]int // of the named ones in the table, from 1
	named    []*schema.Schema
	err      error
}

func newFacts(document map[string]*jsonSchema) *facts {
	return &facts{document: document, places: map[string]int{}}
}

// place returns where a named schema is, and puts it there on the first use.
func (f *facts) place(reference string) int {
	name := strings.TrimPrefix(reference, "#/components/schemas/")
	if place := f.places[name]; place != 0 {
		return place
	}
	if f.document[name] == nil {
		f.fail("reference %q leads nowhere", reference)
		return 0
	}
	s := &schema.Schema{}
	f.named = append(f.named, s)
	place := len(f.named)
	f.places[name] = place // before its content, which may refer to it
	if *s = *f.schema(f.document[name]); s.Ref != 0 {
		f.fail("schema %s is only a reference", name)
	}
	s.Name = name
	return place
}

func (f *facts) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

func (f *facts) schema(in *jsonSchema) *schema.Schema {
	switch {
	case in == nil:
		return &schema.Schema{}
	case in.Ref != "":
		return &schema.Schema{Ref: f.place(in.Ref)}
	case len(in.AllOf) == 1:
		return f.schema(in.AllOf[0])
	case len(in.AllOf) > 1:
		f.fail("allOf of %d schemas is not understood", len(in.AllOf))
	}
	out := &schema.Schema{
		Type: in.Type, Format: in.Format, Pattern: in.Pattern,
		Minimum: in.Minimum, Maximum: in.Maximum, ExclusiveMin: in.ExclusiveMinimum,
		MaxLength: in.MaxLength, MaxItems: in.MaxItems, Unique: in.UniqueItems,
	}
	if in.MinLength != nil {
		out.MinLength = *in.MinLength
	}
	if in.MinItems != nil {
		out.MinItems = *in.MinItems
	}
	for _, value := range in.Enum {
		out.Enum = append(out.Enum, fmt.Sprint(value))
	}
	if in.Const != nil {
		out.Enum = []string{fmt.Sprint(in.Const)}
	}
	for _, alternative := range slices.Concat(in.AnyOf, in.OneOf) {
		out.AnyOf = append(out.AnyOf, f.schema(alternative))
	}
	if in.Items != nil {
		out.Items = f.schema(in.Items)
	}
	out.Properties = f.properties(in)
	switch extra := string(in.AdditionalProperties); {
	case extra == "false":
		// Beside anyOf the document means the alternatives' own properties.
		out.Closed = len(out.AnyOf) == 0
	case strings.HasPrefix(extra, "{"):
		var values jsonSchema
		if err := json.Unmarshal(in.AdditionalProperties, &values); err != nil {
			f.fail("additionalProperties: %v", err)
		}
		out.Values = f.schema(&values)
	}
	return out
}

func (f *facts) properties(in *jsonSchema) (out []schema.Property) {
	if len(in.Properties) == 0 {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(string(in.Properties)))
	_, err := dec.Token()
	for err == nil && dec.More() {
		var name json.Token
		var value jsonSchema
		if name, err = dec.Token(); err == nil {
			err = dec.Decode(&value)
		}
		text, _ := name.(string)
		out = append(out, f.property(text, slices.Contains(in.Required, text), &value))
	}
	if err != nil {
		f.fail("properties: %v", err)
	}
	return out
}

func (f *facts) property(name string, required bool, in *jsonSchema) schema.Property {
	p := schema.Property{Name: name, Required: required, Schema: f.schema(in)}
	if in != nil && string(in.Default) != "null" {
		p.Default = in.Default
	}
	return p
}
