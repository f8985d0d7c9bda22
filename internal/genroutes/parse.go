package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// prefix comes from the servers of the document: every path hangs under /v1.
const prefix = "/v1"

const entityHeader = "x-monite-entity-id"

// methods are the keys of an OpenAPI path item that are operations, in the
// order in which the tables have them.
var methods = []string{"get", "head", "post", "put", "patch", "delete"}

type document struct {
	Info       struct{ Version string }
	Paths      map[string]map[string]json.RawMessage
	Components struct{ Schemas map[string]*jsonSchema }
}

type parameter struct {
	Ref      string `json:"$ref"`
	In       string
	Name     string
	Required bool
	Schema   *jsonSchema
}

type mediaType struct{ Schema *jsonSchema }

type operationObject struct {
	Parameters  []parameter
	RequestBody *struct {
		Required bool
		Content  map[string]mediaType
	}
	Responses map[string]struct{ Content map[string]mediaType }
}

// parse makes the table of a document, with its operations sorted by template
// and then in the order of methods.
func parse(text []byte) (*schema.Table, error) {
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if doc.Info.Version == "" {
		return nil, errors.New("info.version is missing")
	}
	sum := sha256.Sum256(text)
	out := &schema.Table{Version: doc.Info.Version, SHA256: hex.EncodeToString(sum[:])}
	facts := newFacts(doc.Components.Schemas)
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		item := doc.Paths[path]
		var shared []parameter
		if raw, ok := item["parameters"]; ok {
			if err := json.Unmarshal(raw, &shared); err != nil {
				return nil, fmt.Errorf("%s: parameters: %w", path, err)
			}
		}
		for _, method := range methods {
			raw, ok := item[method]
			if !ok {
				continue
			}
			op, err := parseOperation(raw, shared, facts)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			op.Method, op.Template = strings.ToUpper(method), prefix+path
			out.Operations = append(out.Operations, op)
		}
	}
	if len(out.Operations) == 0 {
		return nil, errors.New("no operations")
	}
	slices.SortFunc(out.Operations, func(a, b schema.Operation) int {
		return cmp.Or(cmp.Compare(a.Template, b.Template), cmp.Compare(rank(a.Method), rank(b.Method)))
	})
	out.Named = facts.named
	return out, facts.err
}

func rank(method string) int { return slices.Index(methods, strings.ToLower(method)) }

func parseOperation(raw json.RawMessage, shared []parameter, facts *facts) (op schema.Operation, err error) {
	var in operationObject
	if err := json.Unmarshal(raw, &in); err != nil {
		return op, err
	}
	for _, p := range slices.Concat(shared, in.Parameters) {
		switch {
		case p.Ref != "":
			// Nothing is resolved here: a reference would hide an entity header.
			return op, fmt.Errorf("parameter reference %q: only inline parameters are understood", p.Ref)
		case p.In == "query":
			op.Query = append(op.Query, facts.property(p.Name, p.Required, p.Schema))
		case p.In == "header" && strings.EqualFold(p.Name, entityHeader) && p.Required:
			op.Entity = schema.EntityRequired
		case p.In == "header" && strings.EqualFold(p.Name, entityHeader):
			op.Entity = schema.EntityOptional
		}
	}
	for code := range in.Responses {
		status, err := strconv.Atoi(code)
		if err != nil {
			continue
		}
		op.Statuses = append(op.Statuses, status)
		if status >= 200 && status < 300 && (op.Success == 0 || status < op.Success) {
			op.Success = status
		}
	}
	if op.Success == 0 {
		return op, errors.New("no 2xx response")
	}
	slices.Sort(op.Statuses)
	for mediaType, content := range in.Responses[strconv.Itoa(op.Success)].Content {
		op.MediaType = mediaType
		if mediaType == "application/json" {
			op.Response = facts.schema(content.Schema)
		}
	}
	if in.RequestBody != nil {
		op.BodyRequired = in.RequestBody.Required
		for mediaType, content := range in.RequestBody.Content {
			op.Multipart = mediaType == "multipart/form-data"
			op.Body = facts.schema(content.Schema)
		}
	}
	return op, nil
}
