package schema

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the table
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Schema is the document's description of one value. A zero field says nothing.
type Schema struct {
	// Ref is the place of a named schema in Table.Named, plus one; the other fields
	// are then empty. Load replaces references, so no other code sees one.
	Ref int `json:"$,omitempty"`
	// Name is the name of a named schema.
	Name string `json:"n,omitempty"`

	// Type is object, array, string, integer, number, boolean or null; empty
	// means anything, or AnyOf.
	Type string `json:"t,omitempty"`
	// Format is a string's: uuid, date, date-time, uri, email and so on.
	Format string `json:"f,omitempty"`
	// Enum lists the only values, if there are any.
	Enum []string `json:"e,omitempty"`
	// Pattern is a regular expression that a string must match.
	Pattern string `json:"re,omitempty"`

	// Properties are those of an object, in the document's order.
	Properties []Property `json:"p,omitempty"`
	// Closed objects have no other properties.
	Closed bool `json:"x,omitempty"`
	// Values is the schema of the other properties of an open object.
	Values *Schema `json:"v,omitempty"`
	// Items is the schema of an array's items.
	Items *Schema `json:"i,omitempty"`
	// AnyOf are the alternatives.
	AnyOf []*Schema `json:"a,omitempty"`

	// The limits of numbers, of lengths in characters, and of arrays.
	Minimum      *float64 `json:"ge,omitempty"`
	Maximum      *float64 `json:"le,omitempty"`
	ExclusiveMin *float64 `json:"gt,omitempty"`
	MinLength    int      `json:"ml,omitempty"`
	MaxLength    *int     `json:"xl,omitempty"`
	MinItems     int      `json:"mi,omitempty"`
	MaxItems     *int     `json:"xi,omitempty"`
	Unique       bool     `json:"u,omitempty"`
}

// Property is one property of an object.
type Property struct {
	Name     string  `json:"n"`
	Required bool    `json:"r,omitempty"`
	Schema   *Schema `json:"s"`
	// Default is the published default as JSON, if there is one.
	Default json.RawMessage `json:"d,omitempty"`
}

// Property returns the property of that name, or nil.
func (s *Schema) Property(name string) *Property {
	for i := range s.Properties {
		if s.Properties[i].Name == name {
			return &s.Properties[i]
		}
	}
	return nil
}

// EntityRule says what an operation wants of the entity header.
type EntityRule string

// The rules for x-monite-entity-id.
const (
	EntityNone     EntityRule = ""
	EntityOptional EntityRule = "optional"
	EntityRequired EntityRule = "required"
)

// Operation is one published operation.
type Operation struct {
	Method   string     `json:"m"`
	Template string     `json:"t"` // with /v1
	Entity   EntityRule `json:"e,omitempty"`
	// Success is the lowest 2xx status; Statuses are all that are published.
	Success  int   `json:"s"`
	Statuses []int `json:"c"`
	// Query are the query parameters, as the properties of an object.
	Query []Property `json:"q,omitempty"`
	// Body is the body's schema, nil if there is none; a multipart form has
	// its fields as properties.
	Body         *Schema `json:"b,omitempty"`
	BodyRequired bool    `json:"br,omitempty"`
	Multipart    bool    `json:"mp,omitempty"`
	// Response is the schema of the response, nil if it has no JSON body.
	Response *Schema `json:"r,omitempty"`
	// MediaType is the response's.
	MediaType string `json:"mt,omitempty"`
}

// Table is everything that is known of the document.
type Table struct {
	// Version is the document's, SHA256 that of the file it was made from.
	Version    string      `json:"version"`
	SHA256     string      `json:"sha256"`
	Named      []*Schema   `json:"named"`
	Operations []Operation `json:"operations"` // sorted by template
}

//go:embed table.json.gz
var packed []byte

// Published returns the compiled-in table. It is made once and never changed.
var Published = sync.OnceValue(func() *Table {
	table, err := Load(packed)
	if err != nil {
		panic("schema: compiled-in table: " + err.Error())
	}
	return table
})

// Load reads what Pack wrote.
func Load(packed []byte) (*Table, error) {
	unzip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(unzip)
	if err != nil {
		return nil, err
	}
	var t Table
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, err
	}
	return &t, t.link()
}

// Pack writes a table whose references are not yet replaced. The same table
// gives the same bytes.
func (t *Table) Pack() ([]byte, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	zip, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := zip.Write(text); err != nil {
		return nil, err
	}
	err = zip.Close()
	return buf.Bytes(), err
}

// link replaces every reference by what it names. Named schemas refer to each
// other, in circles too.
func (t *Table) link() error {
	var bad error
	var walk func(s **Schema)
	walk = func(at **Schema) {
		s := *at
		if s == nil {
			return
		}
		if s.Ref != 0 {
			if s.Ref < 1 || s.Ref > len(t.Named) {
				bad = fmt.Errorf("reference %d of %d", s.Ref, len(t.Named))
				return
			}
			*at = t.Named[s.Ref-1]
			return
		}
		for i := range s.Properties {
			walk(&s.Properties[i].Schema)
		}
		for i := range s.AnyOf {
			walk(&s.AnyOf[i])
		}
		walk(&s.Values)
		walk(&s.Items)
	}
	for _, named := range t.Named {
		walk(&named)
	}
	for i := range t.Operations {
		op := &t.Operations[i]
		walk(&op.Body)
		walk(&op.Response)
		for j := range op.Query {
			walk(&op.Query[j].Schema)
		}
	}
	return bad
}
