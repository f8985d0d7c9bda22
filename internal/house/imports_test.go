package house

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/monite-proxy/monite-proxy"

// allowed says which packages of ours a package may import. Imports point down.
var allowed = map[string][]string{
	"cmd/monite-proxy": {"config", "config/secret", "config/watch", "proxy", "proxy/upstream", "tokencache", "tokencache/tokenendpoint", "internal/admin", "internal/confine", "internal/trace"},
	"cmd/monite-sim":   {"proxy/monitetest"},                 // a product of its own
	"config":           {"config/secret", "internal/routes"}, // rules name published paths
	"config/secret":    {"config/watch"},
	"config/watch":     {},                // knows files, not what is in them
	"tokencache":       {"config/secret"}, // knows nothing of HTTP
	// Implements tokencache's Fetcher.
	"tokencache/tokenendpoint": {"tokencache", "config/secret"},
	// Of tokencache only types and errors; of upstream only its error.
	"proxy":          {"tokencache", "proxy/upstream", "proxy/strict", "config/secret", "internal/routes"},
	"proxy/upstream": {"proxy/socket"}, // could be any HTTP client's connection
	"proxy/strict":   {"proxy/socket"}, // could be any handler's server
	"proxy/socket":   {},
	// A simulator that shares code with its subject proves nothing.
	"proxy/monitetest":           {"proxy/monitetest/resources", "proxy/monitetest/schema"},
	"proxy/monitetest/resources": {"proxy/monitetest/schema", "proxy/monitetest/state"},
	"proxy/monitetest/schema":    {}, // facts of the document
	"proxy/monitetest/state":     {}, // documents, whatever they say
	// Shows what the others are: their status types, and how a Host is read.
	"internal/admin": {"proxy", "tokencache"},
	// Makes spans of proxy's records; the fields for the collector are secret.
	"internal/trace":     {"proxy", "config/secret"},
	"internal/confine":   {},                          // is told what may be done, not why
	"internal/genroutes": {"proxy/monitetest/schema"}, // writes its table
	"internal/routes":    {},                          // a table
	"internal/house":     {},
	"e2e":                {}, // from outside
}

type goPackage struct {
	ImportPath, Dir  string
	Imports, GoFiles []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Dir,GoFiles", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		mayImport, known := allowed[name]
		if !known && len(p.GoFiles) > 0 && len(ours(p.Imports)) > 0 {
			t.Errorf("%s is not in the table of allowed imports", name)
			continue
		}
		for _, imported := range ours(p.Imports) {
			if !slices.Contains(mayImport, imported) {
				t.Errorf("%s imports %s", name, imported)
			}
		}
	}
}

func ours(imports []string) (names []string) {
	for _, path := range imports {
		if name, ok := strings.CutPrefix(path, module+"/"); ok {
			names = append(names, name)
		}
	}
	return names
}

// net/http/pprof registers itself where everybody can reach it, and
// chi/middleware brings it along.
func TestNoProfilerAndNoMiddlewareInTheBinary(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module+"/cmd/monite-proxy").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		switch path := strings.TrimSpace(line); path {
		case "net/http/pprof", "github.com/go-chi/chi/v5/middleware", "net/http/httputil":
			t.Errorf("monite-proxy links %s", path)
		}
	}
}

// Templates call methods by name: where a template can be executed, the linker
// keeps every method of every type that is used, 2.5 MB. envconfig imports them
// for a function that nobody calls here, which it sees.
func TestTemplatesAreNotInTheBinary(t *testing.T) {
	imports := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}}: {{join .Imports \" \"}}", module+"/cmd/monite-proxy")
	imports.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0") // as it is shipped
	out, err := imports.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		path, imported, _ := strings.Cut(strings.TrimSpace(line), ": ")
		for _, name := range strings.Fields(imported) {
			if name == "html/template" || name == "text/template" && path != "github.com/kelseyhightower/envconfig" {
				t.Errorf("%s imports %s", path, name)
			}
		}
	}
}
