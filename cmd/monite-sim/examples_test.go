package main

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

var example = regexp.MustCompile("(?s)```[a-z]+ file=(\\S+) run=\"([^\"]+)\"\n(.*?)\n```")

// The examples of the documentation are run as they stand there, each against
// a simulator of its own, where the language is installed.
func TestExamplesOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/simulator.md")
	wiretest.Must(t, err)
	examples := example.FindAllStringSubmatch(string(text), -1)
	if len(examples) != 5 {
		t.Fatalf("%d examples that can be run, want 5", len(examples))
	}
	for _, e := range examples {
		t.Run(e[1], func(t *testing.T) {
			t.Parallel()
			command := strings.Fields(e[2])
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skipf("%s is not installed", command[0])
			}
			dir := t.TempDir()
			files := map[string]string{e[1]: e[3]}
			if command[0] == "go" {
				files["go.mod"] = "module payments\n\ngo 1.26\n"
			}
			for name, content := range files {
				wiretest.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(content+"\n"), 0o600))
			}
			sim := monitetest.New(monitetest.Config{})
			server := httptest.NewServer(sim)
			defer server.Close()
			cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
			// As make build compiles, so that the standard library is compiled once.
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "MONITE_SIM_URL="+server.URL, "CGO_ENABLED=0", "GOFLAGS=-count=1 -trimpath -vet=off")
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", e[2], err, output)
			}
			if len(sim.Ledger()) < 2 {
				t.Errorf("ledger = %+v: the example has not called the simulator", sim.Ledger())
			}
		})
	}
}
