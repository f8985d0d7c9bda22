package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// addressesOf has a command look at this sidecar.
func (s *sidecar) addressesOf(e env) env {
	return e.with("MONITE_LISTEN_ADDR", strings.TrimPrefix(s.Data, "http://"), "MONITE_ADMIN_ADDR", strings.TrimPrefix(s.Admin, "http://"))
}

func TestDoctorFindsNothingWrongWithAHealthySidecar(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	e := defaultEnv(url).with("MONITE_ENTITY_ID", monitetest.DemoEntityID, "MONITE_ALLOWED_ENTITY_USER_IDS", monitetest.DemoEntityUserID, "MONITE_ALLOWED_HOSTS", "sidecar.internal")
	s := start(t, e).ready()
	code, text := runCommand(t, s.addressesOf(e), "doctor")
	for _, want := range []string{"takes requests for the host localhost", "takes requests for the host sidecar.internal", "the running sidecar is ready", "token minted, role", "no problem found"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, secret := range []string{monitetest.DemoClientID, monitetest.DemoClientSecret, monitetest.DemoEntityID, monitetest.DemoEntityUserID} {
		if strings.Contains(text, secret) {
			t.Errorf("the report holds %s", secret)
		}
	}
	if code != 0 || t.Failed() {
		t.Errorf("exit code %d:\n%s", code, text)
	}
}

func TestDoctorReportsProblemsAsJSONAndExitsWithOne(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	bad := defaultEnv(url).with("MONITE_CLIENT_SECRET", "00000000-0000-4000-8000-000000000000")
	s := start(t, bad)
	code, text := runCommand(t, s.addressesOf(bad), "doctor", "-json")
	var report struct {
		Problems int
		Findings []struct{ Step, Result, What, Why, Next string }
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil || code != 1 {
		t.Fatalf("exit code %d, %v:\n%s", code, err, text)
	}
	problems := map[string]string{}
	for _, f := range report.Findings {
		if f.Result == "problem" {
			problems[f.Step] = f.What + f.Why
		}
	}
	// The credentials, and the sidecar that runs with them.
	if len(problems) != 2 || report.Problems != 2 || !strings.Contains(problems["credentials"], "secret is wrong") || !strings.Contains(problems["readiness"], "refused the client id and secret") {
		t.Errorf("problems = %d %v", report.Problems, problems)
	}
	if code, _ := runCommand(t, bad, "doctor", "extra"); code != 2 {
		t.Errorf("doctor with an argument = %d, want 2", code)
	}
}
