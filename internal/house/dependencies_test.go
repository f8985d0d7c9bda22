package house

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// direct are the modules that this one names itself, each with its reason. Who
// adds one says here what it is for, and why we do not write it ourselves.
var direct = map[string]string{
	"github.com/fsnotify/fsnotify":                      "tells of changed files at once; inotify, kqueue and Windows are three programs",
	"github.com/go-chi/chi/v5":                          "routes of both listeners; its middleware is not linked",
	"github.com/gomodule/redigo":                        "Redis' protocol, behind a filter that bounds each reply",
	"github.com/google/go-cmp":                          "tests: differences that can be read",
	"github.com/kelseyhightower/envconfig":              "reads the variables into a struct",
	"github.com/prometheus/client_golang":               "metrics in Prometheus's format, those of the process and the Go runtime included",
	"github.com/rs/zerolog":                             "JSON lines without allocations",
	"github.com/santhosh-tekuri/jsonschema/v6":          "tests: the schema of the identities file against its loader",
	"go.opentelemetry.io/otel":                          "traces: the API of its SDK",
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace": "traces: spans into OTLP's messages; its exporter over HTTP links gRPC, 5 MB, and is not used",
	"go.opentelemetry.io/otel/sdk":                      "traces: samplers, ids and parents as everybody else has them",
	"go.opentelemetry.io/otel/trace":                    "traces: the API of its SDK",
	"go.opentelemetry.io/proto/otlp":                    "traces: OTLP's messages",
	"go.uber.org/goleak":                                "tests: no goroutine is left",
	"go.yaml.in/yaml/v3":                                "reads the identities file, with the line of each node; goccy/go-yaml costs twice the size",
	"golang.org/x/net":                                  "NO_PROXY's rules, and which bytes a header field may hold",
	"golang.org/x/sync":                                 "singleflight: one mint however many wait",
	"golang.org/x/sys":                                  "sockets' filters and peers, Landlock, prctl",
	"golang.org/x/time":                                 "the rate at which requests go upstream",
	"golang.org/x/term":                                 "whether somebody sits at a terminal, and how wide it is; five systems say it in five ways",
	"google.golang.org/protobuf":                        "traces: OTLP's bytes",
	"golang.org/x/text":                                 "tests: Unicode normal forms that a path must not hide in",
}

// linked are the modules in the binary: what an advisory may concern.
var linked = []string{
	"github.com/beorn7/perks",      // of client_golang
	"github.com/cespare/xxhash/v2", // of client_golang
	"github.com/fsnotify/fsnotify",
	"github.com/go-chi/chi/v5",
	"github.com/go-logr/logr", // of otel
	"github.com/go-logr/stdr", // of otel
	"github.com/gomodule/redigo",
	"github.com/google/uuid", // of otel's SDK
	"github.com/kelseyhightower/envconfig",
	"github.com/mattn/go-colorable", // of zerolog
	"github.com/mattn/go-isatty",    // of zerolog
	"github.com/monite-proxy/monite-proxy",
	"github.com/munnerz/goautoneg", // of client_golang
	"github.com/prometheus/client_golang",
	"github.com/prometheus/client_model", // of client_golang
	"github.com/prometheus/common",       // of client_golang
	"github.com/prometheus/procfs",       // of client_golang
	"github.com/rs/zerolog",
	"go.opentelemetry.io/auto/sdk", // of otel
	"go.opentelemetry.io/otel",
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace",
	"go.opentelemetry.io/otel/log",    // of otel's SDK
	"go.opentelemetry.io/otel/metric", // of otel's SDK
	"go.opentelemetry.io/otel/sdk",
	"go.opentelemetry.io/otel/trace",
	"go.opentelemetry.io/proto/otlp",
	"go.yaml.in/yaml/v3",
	"golang.org/x/net",
	"golang.org/x/sync",
	"golang.org/x/sys",
	"golang.org/x/time",
	"golang.org/x/term",
	"golang.org/x/text",          // of x/net: names in NO_PROXY
	"google.golang.org/protobuf", // of client_golang too
}

func TestEveryDirectDependencyHasAReason(t *testing.T) {
	named := modules(t, "list", "-m", "-f", "{{if not (or .Main .Indirect)}}{{.Path}}{{end}}", "all")
	for _, path := range named {
		if direct[path] == "" {
			t.Errorf("go.mod names %s: add it to the list, with its reason", path)
		}
	}
	for path := range direct {
		if !slices.Contains(named, path) {
			t.Errorf("go.mod no longer names %s: take it off the list", path)
		}
	}
}

func TestOnlyKnownModulesAreLinked(t *testing.T) {
	got := modules(t, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", module+"/cmd/monite-proxy")
	for _, path := range got {
		if !slices.Contains(linked, path) {
			t.Errorf("monite-proxy links %s", path)
		}
	}
	for _, path := range linked {
		if !slices.Contains(got, path) {
			t.Errorf("monite-proxy does not link %s any more: take it off the list", path)
		}
	}
}

// modules runs go and returns its lines, each once.
func modules(t *testing.T, args ...string) []string {
	t.Helper()
	list := exec.Command("go", args...)
	list.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0") // as it is shipped
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(out))
	slices.Sort(lines)
	return slices.Compact(lines)
}
