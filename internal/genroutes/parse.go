package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// prefix comes from the servers of the document: every path hangs under /v1.
const prefix = "/v1"

const entityHeader = "x-monite-entity-id"

// methods are the keys of an OpenAPI path item that are operations, in the
// order in which the tables have them.
var methods = []string{"get", "head", "post", "put", "patch", "delete"}

type api struct {
	Version    string
	SHA256     string
	Operations []operation // sorted by template, then in the order of methods
}

type operation struct {
	Method   string
	Template string
	Entity   string // required, optional or none
	Success  int    // the lowest 2xx status that is declared
}

type document struct {
	Info  struct{ Version string }
	Paths map[string]map[string]json.RawMessage
}

type parameter struct {
	Ref      string `json:"$ref"`
	In       string
	Name     string
	Required bool
}

func parse(text []byte) (api, error) {
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return api{}, err
	}
	if doc.Info.Version == "" {
		return api{}, errors.New("info.version is missing")
	}
	sum := sha256.Sum256(text)
	out := api{Version: doc.Info.Version, SHA256: hex.EncodeToString(sum[:])}
	for path, item := range doc.Paths {
		var shared []parameter
		if raw, ok := item["parameters"]; ok {
			if err := json.Unmarshal(raw, &shared); err != nil {
				return api{}, fmt.Errorf("%s: parameters: %w", path, err)
			}
		}
		for _, method := range methods {
			raw, ok := item[method]
			if !ok {
				continue
			}
			op, err := parseOperation(raw, shared)
			if err != nil {
				return api{}, fmt.Errorf("%s %s: %w", method, path, err)
			}
			op.Method, op.Template = strings.ToUpper(method), prefix+path
			out.Operations = append(out.Operations, op)
		}
	}
	if len(out.Operations) == 0 {
		return api{}, errors.New("no operations")
	}
	slices.SortFunc(out.Operations, func(a, b operation) int {
		return cmp.Or(cmp.Compare(a.Template, b.Template), cmp.Compare(rank(a.Method), rank(b.Method)))
	})
	return out, nil
}

func rank(method string) int { return slices.Index(methods, strings.ToLower(method)) }

func parseOperation(raw json.RawMessage, shared []parameter) (operation, error) {
	var body struct {
		Parameters []parameter
		Responses  map[string]json.RawMessage
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return operation{}, err
	}
	op := operation{Entity: "none"}
	for _, p := range slices.Concat(shared, body.Parameters) {
		if p.Ref != "" {
			// Nothing is resolved here: a reference would hide an entity header.
			return operation{}, fmt.Errorf("parameter reference %q: only inline parameters are understood", p.Ref)
		}
		if p.In != "header" || !strings.EqualFold(p.Name, entityHeader) {
			continue
		}
		op.Entity = "optional"
		if p.Required {
			op.Entity = "required"
		}
	}
	for code := range body.Responses {
		status, err := strconv.Atoi(code)
		if err == nil && status >= 200 && status < 300 && (op.Success == 0 || status < op.Success) {
			op.Success = status
		}
	}
	if op.Success == 0 {
		return operation{}, errors.New("no 2xx response")
	}
	return op, nil
}
