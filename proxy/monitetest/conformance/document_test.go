package conformance

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaDoc is a JSON Schema as the document has it.
type schemaDoc = map[string]any

// document is Monite's OpenAPI document.
type document struct {
	raw      map[string]any
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// operation is one published operation, straight from the document.
type operation struct {
	method, path string // without /v1
	pointer      string // into the document
	spec         map[string]any
}

func (op operation) String() string { return op.method + " " + op.path }

// load reads the document from MONITE_OPENAPI, or from beside the repository.
func load(t testing.TB) *document {
	t.Helper()
	name := os.Getenv("MONITE_OPENAPI")
	if name == "" {
		name = "../../../../shared/monite-openapi-public.json"
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Skipf("Monite's OpenAPI document is not here: set MONITE_OPENAPI to its path (%v)", err)
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &document{raw: raw.(map[string]any), compiled: map[string]*jsonschema.Schema{}}
	// Nine schemas have additionalProperties: false beside anyOf. By the letter
	// that forbids every property; what is meant is that the alternatives are
	// closed, and they say so themselves.
	for _, s := range d.raw["components"].(map[string]any)["schemas"].(map[string]any) {
		if s := s.(schemaDoc); s["properties"] == nil && (s["anyOf"] != nil || s["oneOf"] != nil) {
			delete(s, "additionalProperties")
		}
	}
	d.compiler = jsonschema.NewCompiler()
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("monite.json", d.raw); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *document) operations() (all []operation) {
	paths := d.raw["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := paths[path].(map[string]any)
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			if spec, ok := item[method].(map[string]any); ok {
				pointer := "/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(path) + "/" + method
				all = append(all, operation{strings.ToUpper(method), path, pointer, spec})
			}
		}
	}
	return all
}

// body returns the schema of the request body, and its media type.
func (d *document) body(op operation) (s schemaDoc, mediaType string) {
	request, ok := op.spec["requestBody"].(map[string]any)
	if !ok {
		return nil, ""
	}
	for mediaType, content := range request["content"].(map[string]any) {
		return content.(map[string]any)["schema"].(schemaDoc), mediaType
	}
	return nil, ""
}

// response returns the success status, the pointer to the schema of the JSON
// response, and its media type.
func (d *document) response(op operation) (status, pointer, mediaType string) {
	responses := op.spec["responses"].(map[string]any)
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		if status[0] != '2' {
			continue
		}
		content, _ := responses[status].(map[string]any)["content"].(map[string]any)
		for mediaType, content := range content {
			pointer := ""
			if content.(map[string]any)["schema"] != nil {
				pointer = op.pointer + "/responses/" + status + "/content/" + strings.ReplaceAll(mediaType, "/", "~1") + "/schema"
			}
			return status, pointer, mediaType
		}
		return status, "", ""
	}
	return "", "", ""
}

func (d *document) resolve(s schemaDoc) schemaDoc {
	for {
		if ref, ok := s["$ref"].(string); ok {
			s = d.raw["components"].(map[string]any)["schemas"].(map[string]any)[strings.TrimPrefix(ref, "#/components/schemas/")].(schemaDoc)
			continue
		}
		if all, ok := s["allOf"].([]any); ok && len(all) == 1 {
			s = all[0].(schemaDoc)
			continue
		}
		return s
	}
}

// validate judges a value by the schema at the pointer.
func (d *document) validate(pointer string, value any) error {
	s := d.compiled[pointer]
	if s == nil {
		var err error
		if s, err = d.compiler.Compile("monite.json#" + pointer); err != nil {
			return err
		}
		d.compiled[pointer] = s
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	fresh, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(fresh)
}

func (d *document) bodyPointer(op operation, mediaType string) string {
	return op.pointer + "/requestBody/content/" + strings.ReplaceAll(mediaType, "/", "~1") + "/schema"
}

// required returns the names of the required query parameters with schemas.
func queryParameters(op operation) (all []map[string]any) {
	parameters, _ := op.spec["parameters"].([]any)
	for _, p := range parameters {
		if p := p.(map[string]any); p["in"] == "query" {
			all = append(all, p)
		}
	}
	return all
}
