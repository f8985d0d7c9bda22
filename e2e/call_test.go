package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// The main job, three times: as the partner, for an entity, as an entity user.
func TestAppCallsWithoutCredentials(t *testing.T) {
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()

	partner := s.mustCall("GET", "/v1/entities", "")
	entity := s.mustCall("GET", "/v1/payables?limit=3", "", "X-Monite-Entity-Id", monitetest.DemoEntityID)
	user := s.mustCall("GET", "/v1/entity_users/me", "", "X-Monite-Entity-User-Id", monitetest.DemoEntityUserID)
	for name, a := range map[string]answer{"partner": partner, "entity": entity, "user": user} {
		if a.Status != http.StatusOK {
			t.Errorf("%s call = %d %s", name, a.Status, a.Body)
		}
	}
	if !strings.Contains(user.Body, monitetest.DemoEntityUserID) {
		t.Errorf("the user call did not act as the user: %s", user.Body)
	}
	if got := sim.Stats().Mints; got != 2 {
		t.Errorf("mints = %d, want 2: one per grant", got)
	}
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(5 * time.Second); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}
