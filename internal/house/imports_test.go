package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

const module = "github.com/monite-proxy/monite-proxy"

// allowed says which packages of ours a package may import. Imports point down.
var allowed = map[string][]string{
	"cmd/monite-proxy": {
		"config", "config/secret", "proxy", "proxy/dial", "proxy/identity", "proxy/upstream", "proxy/writes", "tokencache",
		"tokencache/redisstore", "tokencache/tokenendpoint",
		"internal/admin", "internal/admin/client", "internal/confine", "internal/doctor", "internal/listen", "internal/logs", "internal/named",
		"internal/trace",
	},
	"cmd/monite-sim": {"proxy/monitetest"},                                                                     // a product of its own
	"config":         {"config/secret", "internal/certs", "internal/files", "internal/ids", "internal/routes"}, // rules name published paths
	"config/secret":  {"config/watch", "internal/files"},
	"config/watch":   {},                // knows files, not what is in them
	"tokencache":     {"config/secret"}, // knows nothing of HTTP
	// Implements tokencache's Store and that of write records.
	"tokencache/redisstore": {"tokencache", "proxy/writes", "config/secret"},
	// Implements tokencache's Fetcher.
	"tokencache/tokenendpoint": {"tokencache", "config/secret"},
	// Of tokencache only types and errors; of upstream only its error.
	"proxy": {
		"tokencache", "proxy/upstream", "proxy/strict", "proxy/socket", "proxy/target", "proxy/identity", "proxy/writes",
		"config/secret", "internal/ids", "internal/routes",
	},
	"proxy/upstream": {"proxy/dial", "proxy/socket"}, // could be any HTTP client's connection
	"proxy/strict":   {"proxy/socket"},               // could be any handler's server
	"proxy/socket":   {},
	"proxy/dial":     {},
	"proxy/writes":   {}, // decides; knows neither requests nor connections
	// A pure decision: of tokencache only the grant.
	"proxy/identity": {"proxy/target", "tokencache", "internal/ids", "internal/routes", "config/secret"},
	"proxy/target":   {}, // pure rules about text
	// Rows for tests; the published paths are the legitimate ones.
	"proxy/target/targettest": {"internal/routes"},
	// A simulator that shares code with its subject proves nothing.
	"proxy/monitetest":           {"proxy/monitetest/resources", "proxy/monitetest/schema"},
	"proxy/monitetest/resources": {"proxy/monitetest/schema", "proxy/monitetest/state"},
	"proxy/monitetest/schema":    {}, // facts of the document
	"proxy/monitetest/state":     {}, // documents, whatever they say
	// Shows what the others are: their status types, and how a Host is read.
	"internal/admin":        {"config", "proxy", "proxy/target", "proxy/writes", "tokencache", "internal/ids"},
	"internal/admin/client": {"config", "internal/admin"}, // its types, not its handler
	// Makes spans of proxy's records; the fields for the collector are secret.
	"internal/trace":  {"config", "proxy", "config/secret"},
	"internal/certs":  {"internal/files"}, // knows no variable
	"internal/files":  {},                 // knows files, not what is in them
	"internal/ids":    {},
	"internal/listen": {"config", "internal/files", "proxy/socket"}, // of socket the users of connections alone
	// Of admin only the type of /status.
	"internal/named": {"config", "config/watch", "internal/admin", "internal/ids", "internal/listen", "proxy/identity", "tokencache"},
	"internal/logs":  {"config", "internal/files"},
	// Does what the sidecar does, step by step: with its transport, handler and mints.
	"internal/doctor": {"config", "config/secret", "internal/admin/client", "internal/confine", "internal/ids", "proxy", "proxy/dial", "proxy/identity", "proxy/upstream",
		"tokencache", "tokencache/redisstore", "tokencache/tokenendpoint"},
	"internal/confine":   {},                          // is told what may be done, not why
	"internal/genroutes": {"proxy/monitetest/schema"}, // writes its table
	"internal/routes":    {},                          // a table
	"internal/wiretest":  {},                          // the ends of a wire, for anybody's tests
	"internal/pictures":  {"proxy/monitetest"},        // runs the binary, and starts a simulator beside it
	"internal/house":     {},
	"bench":              {"internal/wiretest"}, // certificates
	"bench/delay":        {"internal/wiretest"}, // likewise
	"e2e":                {},                    // from outside
}

type goPackage struct {
	ImportPath, Dir                  string
	Imports, GoFiles, IgnoredGoFiles []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Dir,GoFiles,IgnoredGoFiles", module+"/...").Output()
	wiretest.Must(t, err)
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
	wiretest.Must(t, err)
	for line := range strings.Lines(string(out)) {
		switch path := strings.TrimSpace(line); path {
		case "net/http/pprof", "github.com/go-chi/chi/v5/middleware", "net/http/httputil":
			t.Errorf("monite-proxy links %s", path)
		}
	}
}
