package mutants

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// standardTransport swaps in Go's own transport, which repeats requests by
// itself.
var standardTransport = mutant{
	name: "the standard transport sends apps' requests",
	edits: []edit{{
		"cmd/monite-proxy/sidecar.go",
		"Upstream: s.upstream,",
		"Upstream: &http.Transport{TLSClientConfig: s.upstream.TLS, MaxIdleConnsPerHost: s.upstream.MaxConns, " +
			"DisableCompression: true, ResponseHeaderTimeout: s.upstream.ResponseHeaderTimeout},",
	}},
}

// The ledger counts executions. It must see those that the standard transport
// repeats.
func TestLedgerCatchesTheStandardTransport(t *testing.T) {
	fits(t, standardTransport)
	if os.Getenv("LEDGER_MUTANT") == "" {
		t.Skip("LEDGER_MUTANT is not set: make ledger-mutant")
	}
	at := overlay(t, standardTransport)
	// The ledger's tests build the binary themselves: go reads the overlay from its
	// environment then.
	command := exec.Command("go", "test", "-count=1", "-v", "-run", "LedgerNo", "./e2e")
	command.Dir = root
	command.Env = append(os.Environ(), "LEDGER_EXPECT_VIOLATIONS=1", "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+at))
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	t.Logf("%s", out)
}
