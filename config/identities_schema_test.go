package config

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/monite-proxy/monite-proxy/internal/routes"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

const schemaPath = "../deploy/identities.schema.json"

// The words that may follow a method are the only part of the schema that
// follows from code.
func TestSchemaKnowsThePublishedPaths(t *testing.T) {
	text, err := os.ReadFile(schemaPath)
	wiretest.Must(t, err)
	var targets []string
	for _, target := range routes.Targets() {
		targets = append(targets, regexp.QuoteMeta(target))
	}
	pattern, _ := json.Marshal("^(GET|HEAD|POST|PUT|PATCH|DELETE|\\*) (" + strings.Join(targets, "|") + ")$")
	line := regexp.MustCompile(`"pattern": "\^\(GET\|HEAD.*"`)
	want := line.ReplaceAllLiteral(text, append([]byte(`"pattern": `), pattern...))
	if *update {
		wiretest.Must(t, os.WriteFile(schemaPath, want, 0o644))
		return
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("the schema is not current: run make generate (-want +got):\n%s", diff)
	}
}

// The schema is for editors: it must say what the loader says, wherever a
// schema can. Where it cannot, the file says so in its first line.
func TestSchemaAndLoaderGiveTheSameVerdict(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(schemaPath)
	wiretest.Must(t, err)
	verdict := func(text string) error {
		var node yaml.Node
		if err := yaml.NewDecoder(strings.NewReader(text)).Decode(&node); err != nil {
			return err
		}
		encoded, err := json.Marshal(plainValue(node.Content[0]))
		wiretest.Must(t, err)
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
		wiretest.Must(t, err)
		return schema.Validate(instance)
	}
	for path, text := range corpus(t, "good") {
		if err := verdict(text); err != nil {
			t.Errorf("%s: the loader accepts it, the schema says: %v", path, err)
		}
	}
	var differences []string
	for path, text := range corpus(t, "bad") {
		first, _, _ := strings.Cut(text, "\n")
		first, _, _ = strings.Cut(first, " # want")
		err := verdict(text)
		switch reason, good := strings.CutPrefix(first, "# schema: good: "); {
		case good && err != nil:
			t.Errorf("%s: the schema can tell after all: %v", path, err)
		case good:
			differences = append(differences, strings.TrimPrefix(path, "testdata/identities/bad/")+": "+reason)
		case first != "# schema: bad":
			t.Errorf("%s begins with %q, want # schema: bad, or good with a reason", path, first)
		case err == nil:
			t.Errorf("%s: the loader refuses it, the schema does not", path)
		}
		// Every item must be refused by itself, or one bad item would hide the others.
		var whole struct{ Identities []yaml.Node }
		if yaml.Unmarshal([]byte(text), &whole) != nil || len(whole.Identities) < 2 || strings.HasPrefix(first, "# schema: good") {
			continue
		}
		for _, item := range whole.Identities {
			alone, _ := yaml.Marshal(map[string]any{"identities": []any{plainValue(&item)}})
			if verdict(string(alone)) == nil {
				t.Errorf("%s: the schema accepts the item in line %d", path, item.Line)
			}
		}
	}
	slices.Sort(differences)
	t.Logf("only the loader sees:\n%s", strings.Join(differences, "\n"))
	if len(differences) != 13 {
		t.Errorf("%d differences, want the 13 that are known", len(differences))
	}
}

// plainValue is a YAML value as an editor gives it to the schema: YAML 1.2 has
// no dates, and the last of two equal keys counts.
func plainValue(node *yaml.Node) any {
	switch node.Kind {
	case yaml.AliasNode:
		return plainValue(node.Alias)
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range node.Content {
			list = append(list, plainValue(item))
		}
		return list
	case yaml.MappingNode:
		fields := map[string]any{}
		for i := 0; i < len(node.Content); i += 2 {
			fields[node.Content[i].Value] = plainValue(node.Content[i+1])
		}
		return fields
	}
	switch node.ShortTag() {
	case "!!str", "!!timestamp":
		return node.Value
	}
	var value any
	_ = node.Decode(&value)
	return value
}
