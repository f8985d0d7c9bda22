//go:build ignore

// Command kubeschemas turns the OpenAPI document of Kubernetes into one strict JSON schema per kind, named the way
// kubeconform looks them up. verify.sh builds it; it is not part of the module's packages.
//
//	kubeschemas swagger.json folder
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
)

type object = map[string]any

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: kubeschemas swagger.json folder")
	}
	raw, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var doc struct{ Definitions map[string]object }
	if err := json.Unmarshal(raw, &doc); err != nil {
		log.Fatal(err)
	}
	for name, def := range doc.Definitions {
		// Refuse unknown keys wherever the document lists the known ones.
		if _, lists := def["properties"]; lists {
			def["additionalProperties"] = false
		}
		switch name {
		case "io.k8s.apimachinery.pkg.util.intstr.IntOrString", "io.k8s.apimachinery.pkg.api.resource.Quantity":
			// The document says string; the API server also takes a number.
			doc.Definitions[name] = object{"type": []string{"string", "number"}}
		}
	}
	written := 0
	for name, def := range doc.Definitions {
		kinds, _ := def["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 { // 0: not a kind of its own; more: shared by all groups, as DeleteOptions
			continue
		}
		schema := object{"$ref": "#/definitions/" + name, "definitions": closure(doc.Definitions, name)}
		if err := write(filepath.Join(os.Args[2], fileName(kinds[0].(object))), schema); err != nil {
			log.Fatal(err)
		}
		written++
	}
	fmt.Println(written, "schemas")
}

// closure collects the definitions that name needs, itself included.
func closure(all map[string]object, name string) map[string]object {
	found := make(map[string]object)
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case object:
			if ref, ok := v["$ref"].(string); ok {
				next := strings.TrimPrefix(ref, "#/definitions/")
				if _, seen := found[next]; !seen {
					found[next] = all[next]
					visit(all[next])
				}
			}
			for _, child := range v {
				visit(child)
			}
		case []any:
			for _, child := range v {
				visit(child)
			}
		}
	}
	found[name] = all[name]
	visit(all[name])
	return found
}

// fileName is kubeconform's {{ .ResourceKind }}{{ .KindSuffix }}: deployment-apps-v1.json, pod-v1.json.
func fileName(kind object) string {
	group, _, _ := strings.Cut(kind["group"].(string), ".")
	parts := []string{strings.ToLower(kind["kind"].(string))}
	if group != "" {
		parts = append(parts, group)
	}
	return strings.Join(append(parts, kind["version"].(string)), "-") + ".json"
}

func write(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}
