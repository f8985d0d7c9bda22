package main

import (
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestBannerNamesWhatWasOpened(t *testing.T) {
	t.Setenv("MONITE_LISTEN_ADDR", "127.0.0.1:0")
	t.Setenv("MONITE_ADMIN_ADDR", "127.0.0.1:0")
	t.Setenv("MONITE_ENTITY_USER_ID", "aaaaaaaa-0000-4000-8000-000000000001")
	s, _, _ := newTestSidecar(t)
	wiretest.Must(t, s.listen())
	defer s.closeListeners()
	shown := s.banner()
	for _, want := range []string{
		"apps call          http://" + s.data.listener.Addr().String() + "/v1,",
		"curl -sS http://" + s.data.listener.Addr().String() + "/v1/entity_users/me",
		"as the entity user aaaaaaaa-..., and names no entity", "http://" + s.admin.listener.Addr().String() + "/\n",
		"MONITE_ADMIN_ADDR=" + s.admin.listener.Addr().String() + " monite-proxy status -watch", "monite-proxy doctor",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("the banner lacks %q:\n%s", want, shown)
		}
	}
	for line := range strings.Lines(shown) {
		if len(line) > 81 {
			t.Errorf("wider than a terminal: %q", line)
		}
	}
}

func TestBannerStaysOutOfJSON(t *testing.T) {
	var log strings.Builder // no terminal
	for format, want := range map[string]bool{"": false, "json": false, "console": true} {
		t.Setenv("MONITE_CLIENT_ID", "id")
		t.Setenv("MONITE_CLIENT_SECRET", "secret")
		t.Setenv("MONITE_LOG_FORMAT", format)
		cfg, err := config.Load()
		wiretest.Must(t, err)
		if got := forPeople(cfg, &log); got != want {
			t.Errorf("MONITE_LOG_FORMAT=%q: %v, want %v", format, got, want)
		}
	}
}
