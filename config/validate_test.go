package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVariablesHaveToAgree(t *testing.T) {
	const plaintext = "MONITE_ALLOW_PLAINTEXT_UPSTREAM"
	tests := []struct {
		name  string
		pairs map[string]string
		want  []string
	}{
		{"url of another environment", map[string]string{"MONITE_ENVIRONMENT": "sandbox", "MONITE_API_URL": "https://api.monite.com"},
			[]string{"MONITE_ENVIRONMENT: want the environment that the host of MONITE_API_URL belongs to, or only one of the two variables"}},
		{"also on another port", map[string]string{"MONITE_ENVIRONMENT": "eu", "MONITE_API_URL": "https://us.api.monite.com.:8443/v1"},
			[]string{"MONITE_ENVIRONMENT: want the environment that the host of MONITE_API_URL belongs to, or only one of the two variables"}},
		{"url of the same environment", map[string]string{"MONITE_ENVIRONMENT": "eu", "MONITE_API_URL": "https://api.monite.com/v1"}, nil},
		{"url of nobody", map[string]string{"MONITE_ENVIRONMENT": "eu", "MONITE_API_URL": "https://monite.internal"}, nil},
		{"plaintext that is allowed", map[string]string{plaintext: "true", "MONITE_API_URL": "http://sim:9000"}, nil},
		{"entity_user without a user", map[string]string{"MONITE_GRANT_TYPE": "entity_user"},
			[]string{"MONITE_ENTITY_USER_ID: want a UUID (needed because MONITE_GRANT_TYPE is entity_user)"}},
		{"a user without entity_user", map[string]string{"MONITE_ENTITY_USER_ID": idA}, nil},
		{"remote that is allowed", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_LISTEN_ADDR": ":8080"}, nil},
		{"admin inside a remote data listener", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_LISTEN_ADDR": ":8081"},
			[]string{"MONITE_ADMIN_ADDR: want another address than that of MONITE_LISTEN_ADDR"}},
		{"two random ports", map[string]string{"MONITE_LISTEN_ADDR": "127.0.0.1:0", "MONITE_ADMIN_ADDR": "127.0.0.1:0"}, nil},
		{"one socket for both", map[string]string{"MONITE_LISTEN_ADDR": "unix:/run/a.sock", "MONITE_ADMIN_ADDR": "unix:/run/./a.sock"},
			[]string{"MONITE_ADMIN_ADDR: want another address than that of MONITE_LISTEN_ADDR"}},
		{"vend inside a remote data listener", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_LISTEN_ADDR": ":8090",
			"MONITE_VEND_ADDR": "127.0.0.1:8090"},
			[]string{"MONITE_VEND_ADDR: want another address than those of MONITE_LISTEN_ADDR and MONITE_ADMIN_ADDR"}},
		{"vend that is allowed to be remote", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_VEND_ADDR": ":8090"}, nil},
		{"settings of a vend listener that is not there", map[string]string{"MONITE_VEND_SOCKET_MODE": "0660", "MONITE_VEND_APP_TOKEN": "x"},
			[]string{"MONITE_VEND_SOCKET_MODE: want MONITE_VEND_ADDR with it, which is not set",
				"MONITE_VEND_APP_TOKEN: want MONITE_VEND_ADDR with it, which is not set"}},
		{"peers of a vend port", map[string]string{"MONITE_VEND_ADDR": "127.0.0.1:9", "MONITE_VEND_ALLOWED_PEER_UIDS": "1"},
			[]string{"MONITE_VEND_ALLOWED_PEER_UIDS: want user numbers with commas between them, together with a unix: MONITE_VEND_ADDR " +
				"(MONITE_VEND_ADDR is not a unix socket)"}},
		{"a password of the store that is the client secret", map[string]string{"MONITE_CLIENT_SECRET": idB, "MONITE_REDIS_PASSWORD": idB,
			"MONITE_REDIS_URL": "redis://cache"},
			[]string{"MONITE_REDIS_PASSWORD: want another value than that of MONITE_CLIENT_SECRET, which only Monite may see"}},
		{"the same in the URL", map[string]string{"MONITE_CLIENT_SECRET": idB, "MONITE_REDIS_URL": "redis://:" + idB + "@cache"},
			[]string{"MONITE_REDIS_URL: want another value than that of MONITE_CLIENT_SECRET, which only Monite may see"}},
		{"IPv4 and IPv6 apart", map[string]string{"MONITE_LISTEN_ADDR": "[::1]:8080", "MONITE_ADMIN_ADDR": "0.0.0.0:8080"}, nil},
	}
	for _, tc := range tests {
		wantMistakes(t, tc.name, tc.pairs, tc.want...)
	}
}

func TestVendListenerInheritsWhatNarrowsAndNotWhatWidens(t *testing.T) {
	wide := map[string]string{"MONITE_LISTEN_ADDR": "unix:/run/a.sock", "MONITE_SOCKET_MODE": "0666", "MONITE_ALLOWED_PEER_UIDS": "5",
		"MONITE_APP_TOKEN": "of-the-data-listener", "MONITE_VEND_ADDR": "unix:/run/v.sock"}
	cfg := mustLoad(t, wide)
	if cfg.VendSocketMode != 0o600 || !slices.Equal(cfg.VendAllowedPeerUIDs, []uint32{5}) || cfg.VendAppToken().Reveal() != "of-the-data-listener" {
		t.Errorf("mode %o, peers %v, token %q", cfg.VendSocketMode, cfg.VendAllowedPeerUIDs, cfg.VendAppToken().Reveal())
	}
	wide["MONITE_VEND_SOCKET_MODE"], wide["MONITE_VEND_ALLOWED_PEER_UIDS"], wide["MONITE_VEND_APP_TOKEN"] = "0660", "6", "of-the-vend-listener"
	cfg = mustLoad(t, wide)
	if cfg.VendSocketMode != 0o660 || !slices.Equal(cfg.VendAllowedPeerUIDs, []uint32{6}) || cfg.VendAppToken().Reveal() != "of-the-vend-listener" ||
		cfg.SocketMode != 0o666 || !slices.Equal(cfg.AllowedPeerUIDs, []uint32{5}) || cfg.AppToken().Reveal() != "of-the-data-listener" {
		t.Errorf("Config = %+v", cfg)
	}
}

func TestGrantTypeFollowsTheEntityUser(t *testing.T) {
	for _, tc := range []struct{ grant, user, want string }{
		{"", "", "client_credentials"},
		{"", idA, "entity_user"},
		{"entity_user", idA, "entity_user"},
		{"client_credentials", idA, "client_credentials"},
		{"client_credentials", "", "client_credentials"},
	} {
		cfg := mustLoad(t, map[string]string{"MONITE_GRANT_TYPE": tc.grant, "MONITE_ENTITY_USER_ID": tc.user})
		shown := ""
		for _, s := range cfg.Redacted() {
			if s.Name == "MONITE_GRANT_TYPE" {
				shown = s.Value
			}
		}
		if cfg.GrantType != tc.want || shown != tc.want || (tc.user != "") != cfg.AllowedEntityUserIDs.Contains(idA) {
			t.Errorf("%q with user %q: %s, shown as %s, want %s", tc.grant, tc.user, cfg.GrantType, shown, tc.want)
		}
	}
}

func TestEnvironmentFollowsTheURL(t *testing.T) {
	tests := []struct{ environment, url, wantEnvironment, wantUpstream string }{
		{"", "", "sandbox", "https://api.sandbox.monite.com"},
		{"eu", "", "eu", "https://api.monite.com"},
		{"us", "", "us", "https://us.api.monite.com"},
		{"", "https://API.monite.com:443/v1/", "eu", "https://api.monite.com"},
		{"", "https://us.api.monite.com", "us", "https://us.api.monite.com"},
		{"", "https://api.sandbox.monite.com/v1", "sandbox", "https://api.sandbox.monite.com"},
		{"", "http://127.0.0.1:9000", "custom", "http://127.0.0.1:9000"},
		{"sandbox", "http://127.0.0.1:9000", "sandbox", "http://127.0.0.1:9000"},
	}
	for _, tc := range tests {
		cfg := mustLoad(t, map[string]string{"MONITE_ENVIRONMENT": tc.environment, "MONITE_API_URL": tc.url})
		if cfg.Environment != tc.wantEnvironment || cfg.Upstream.String() != tc.wantUpstream || cfg.Upstream.Path != "" {
			t.Errorf("%q, %q: %s, %s, want %s, %s", tc.environment, tc.url, cfg.Environment, cfg.Upstream, tc.wantEnvironment, tc.wantUpstream)
		}
	}
}

func TestDangersAreSaidAloud(t *testing.T) {
	tests := []struct {
		name  string
		pairs map[string]string
		want  []string // how the warnings begin
	}{
		{"nothing dangerous", map[string]string{"MONITE_ENVIRONMENT": "eu", "MONITE_ALLOW_REMOTE": "true"}, nil},
		{"a user that is only allowed", map[string]string{"MONITE_ENTITY_USER_ID": idA, "MONITE_GRANT_TYPE": "client_credentials"},
			[]string{"MONITE_GRANT_TYPE is client_credentials beside MONITE_ENTITY_USER_ID"}},
		{"a user that is the default", map[string]string{"MONITE_ENTITY_USER_ID": idA, "MONITE_GRANT_TYPE": "entity_user"}, nil},
		{"any entity", map[string]string{"MONITE_ALLOWED_ENTITY_IDS": "*"}, []string{"MONITE_ALLOWED_ENTITY_IDS is *"}},
		{"any user", map[string]string{"MONITE_ALLOWED_ENTITY_USER_IDS": "*"}, []string{"MONITE_ALLOWED_ENTITY_USER_IDS is *"}},
		{"remote", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_LISTEN_ADDR": "10.0.0.1:1"},
			[]string{"MONITE_ALLOW_REMOTE: the data listener is open to other hosts, and without MONITE_APP_TOKEN"}},
		{"remote with a token", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_LISTEN_ADDR": "10.0.0.1:1",
			"MONITE_APP_TOKEN": "long-enough-to-last"},
			[]string{"MONITE_ALLOW_REMOTE: the data listener is open to other hosts; MONITE_APP_TOKEN travels"}},
		{"all interfaces", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_LISTEN_ADDR": ":1"},
			[]string{"MONITE_ALLOW_REMOTE", "MONITE_ALLOWED_HOSTS is empty"}},
		{"all interfaces with hosts", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_LISTEN_ADDR": ":1", "MONITE_ALLOWED_HOSTS": "app"},
			[]string{"MONITE_ALLOW_REMOTE"}},
		{"a token that can be guessed", map[string]string{"MONITE_APP_TOKEN": "fifteen-letters"}, []string{"MONITE_APP_TOKEN"}},
		{"a token that cannot", map[string]string{"MONITE_APP_TOKEN": "sixteen--letters"}, nil},
		{"a socket for everybody", map[string]string{"MONITE_LISTEN_ADDR": "unix:/run/a.sock", "MONITE_SOCKET_MODE": "0666"},
			[]string{"MONITE_SOCKET_MODE"}},
		{"a socket for everybody with a list", map[string]string{"MONITE_LISTEN_ADDR": "unix:/run/a.sock", "MONITE_SOCKET_MODE": "0666",
			"MONITE_ALLOWED_PEER_UIDS": "1"}, nil},
		{"a socket for a group", map[string]string{"MONITE_LISTEN_ADDR": "unix:/run/a.sock", "MONITE_SOCKET_MODE": "0660"}, nil},
		{"plaintext", map[string]string{"MONITE_ALLOW_PLAINTEXT_UPSTREAM": "true", "MONITE_API_URL": "http://sim:1"},
			[]string{"MONITE_ALLOW_PLAINTEXT_UPSTREAM"}},
		{"vend for some", map[string]string{"MONITE_VEND_ADDR": "127.0.0.1:9", "MONITE_ALLOWED_ENTITY_USER_IDS": idA}, nil},
		{"vend for nobody", map[string]string{"MONITE_VEND_ADDR": "127.0.0.1:9"}, []string{"MONITE_VEND_ADDR is set and no entity user is allowed"}},
		{"vend for anybody", map[string]string{"MONITE_VEND_ADDR": "127.0.0.1:9", "MONITE_ALLOWED_ENTITY_USER_IDS": "*"},
			[]string{"MONITE_ALLOWED_ENTITY_USER_IDS is *", "MONITE_VEND_ADDR with MONITE_ALLOWED_ENTITY_USER_IDS=*"}},
		{"a vend socket for everybody", map[string]string{"MONITE_VEND_ADDR": "unix:/run/v.sock", "MONITE_ALLOWED_ENTITY_USER_IDS": idA,
			"MONITE_VEND_SOCKET_MODE": "0666"},
			[]string{"MONITE_VEND_SOCKET_MODE"}},
		{"a vend token that can be guessed", map[string]string{"MONITE_VEND_ADDR": "unix:/run/v.sock", "MONITE_ALLOWED_ENTITY_USER_IDS": idA,
			"MONITE_VEND_APP_TOKEN": "short"},
			[]string{"MONITE_VEND_APP_TOKEN"}},
		{"remote vend with a token of its own", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_VEND_ADDR": ":9",
			"MONITE_ENTITY_USER_ID": idA, "MONITE_VEND_APP_TOKEN": "long-enough-to-last"},
			[]string{"MONITE_VEND_ADDR is open to other hosts; access tokens"}},
		{"remote vend", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_VEND_ADDR": ":9", "MONITE_ENTITY_USER_ID": idA},
			[]string{"MONITE_VEND_ADDR is open to other hosts, and without MONITE_APP_TOKEN"}},
		{"remote vend with a token", map[string]string{"MONITE_ALLOW_REMOTE": "true", "MONITE_VEND_ADDR": ":9", "MONITE_ENTITY_USER_ID": idA,
			"MONITE_APP_TOKEN": "long-enough-to-last"},
			[]string{"MONITE_VEND_ADDR is open to other hosts; access tokens and MONITE_APP_TOKEN"}},
		{"plaintext on loopback", map[string]string{"MONITE_API_URL": "http://localhost:1"}, nil},
	}
	for _, tc := range tests {
		got := mustLoad(t, tc.pairs).Warnings
		same := len(got) == len(tc.want)
		for i := range min(len(got), len(tc.want)) {
			same = same && strings.HasPrefix(got[i], tc.want[i])
		}
		if !same {
			t.Errorf("%s: warnings %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestAllowListHoldsTheDefaultAndComparesAnyCase(t *testing.T) {
	cfg := mustLoad(t, map[string]string{"MONITE_ENTITY_ID": idA, "MONITE_ALLOWED_ENTITY_IDS": strings.ToUpper(idB),
		"MONITE_ALLOWED_ENTITY_USER_IDS": "*"})
	tests := []struct {
		name string
		list AllowList
		id   string
		want bool
	}{
		{"the default", cfg.AllowedEntityIDs, idA, true},
		{"a listed one", cfg.AllowedEntityIDs, idB, true},
		{"in upper case", cfg.AllowedEntityIDs, strings.ToUpper(idA), true},
		{"another", cfg.AllowedEntityIDs, idC, false},
		{"none", cfg.AllowedEntityIDs, "", false},
		{"any", cfg.AllowedEntityUserIDs, idC, true},
		{"any, but no id", cfg.AllowedEntityUserIDs, "*", false},
		{"any, but empty", cfg.AllowedEntityUserIDs, "", false},
		{"zero list", AllowList{}, idA, false},
	}
	for _, tc := range tests {
		if got := tc.list.Contains(tc.id); got != tc.want {
			t.Errorf("%s: Contains(%q) = %v, want %v", tc.name, tc.id, got, tc.want)
		}
	}
	if cfg.AllowedEntityIDs.Any() || !cfg.AllowedEntityUserIDs.Any() {
		t.Error("Any() is true for a list or false for *")
	}
	if diff := cmp.Diff([]string{idA, idB}, cfg.AllowedEntityIDs.IDs()); diff != "" {
		t.Errorf("IDs() (-want +got):\n%s", diff)
	}
}

func TestAllowListWithoutDefaultAllowsNone(t *testing.T) {
	cfg := mustLoad(t, nil)
	if cfg.AllowedEntityIDs.Contains(idA) || cfg.AllowedEntityIDs.Any() || len(cfg.AllowedEntityIDs.IDs()) != 0 {
		t.Error("an unset allow-list allows something")
	}
}
