package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// vendAddress is where the listener that hands out tokens is.
func (s *sidecar) vendAddress() string { return s.logField("vend") }

// vend asks for a token of a user.
func (s *sidecar) vend(userID string, pairs ...string) answer {
	s.t.Helper()
	body := fmt.Sprintf(`{"grant_type":"entity_user","entity_user_id":%q,"client_id":"ignored","client_secret":"ignored"}`, userID)
	return s.vendRaw("POST", "/v1/auth/token", body, pairs...)
}

func (s *sidecar) vendRaw(method, path, body string, pairs ...string) answer {
	s.t.Helper()
	a, err := request(context.Background(), method, "http://"+s.vendAddress()+path, body,
		append([]string{"Content-Type", "application/json"}, pairs...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// vended reads the answer.
func vended(t *testing.T, a answer) (token string, expiresIn int) {
	t.Helper()
	var got struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		TokenType   string `json:"token_type"`
	}
	if err := json.Unmarshal([]byte(a.Body), &got); err != nil || a.Status != http.StatusOK || got.AccessToken == "" || got.TokenType != "Bearer" {
		t.Fatalf("no token: %d %s", a.Status, a.Body)
	}
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Pragma") != "no-cache" {
		t.Errorf("header %v lets caches keep the token", a.Header)
	}
	return got.AccessToken, got.ExpiresIn
}

func vendEnv(url string) env {
	return defaultEnv(url).with("MONITE_VEND_ADDR", "127.0.0.1:0", "MONITE_ALLOWED_ENTITY_USER_IDS", monitetest.DemoEntityUserID)
}

// atMonite calls the upstream itself, without the sidecar.
func atMonite(t *testing.T, url, token string) answer {
	t.Helper()
	a, err := request(t.Context(), "GET", url+"/v1/entity_users/me", "", "Authorization", "Bearer "+token, "X-Monite-Version", "2024-05-25")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestVendedTokenWorksAtMonite(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, vendEnv(url)).ready()
	token, expiresIn := vended(t, s.vend(monitetest.DemoEntityUserID))
	if a := atMonite(t, url, token); a.Status != http.StatusOK || !strings.Contains(a.Body, monitetest.DemoEntityUserID) {
		t.Errorf("Monite answers %d %s to the token", a.Status, a.Body)
	}
	if expiresIn < 1790 || expiresIn > 1800 {
		t.Errorf("expires_in = %d, want what is left of 1800", expiresIn)
	}
	// It is the cache's token, and that of the data listener.
	again, _ := vended(t, s.vend(monitetest.DemoEntityUserID))
	s.want(http.StatusOK, "GET", "/v1/entity_users/me", "", "X-Monite-Entity-User-Id", monitetest.DemoEntityUserID)
	if got := sim.Stats().Mints; again != token || got != 2 {
		t.Errorf("same token: %t, %d mints, want true, 2: the partner's and the user's", again == token, got)
	}
	s.wantLogged(`"listener":"127.0.0.1:0"`, `"message":"token handed out"`, `"entity_user_hash"`, `"expires_in_s":1`)
	if log := s.log.String(); strings.Contains(log, token) || strings.Contains(log, monitetest.DemoEntityUserID) {
		t.Error("the log holds the token, or the user")
	}
}

func TestVendRefusesWhatItMustNotGive(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, vendEnv(url).with("MONITE_APP_TOKEN", "app-token")).ready()
	const app = "X-Monite-Proxy-Token"
	tests := []struct {
		name   string
		answer answer
		status int
		kind   string
	}{
		{"partner", s.vendRaw("POST", "/v1/auth/token", `{"grant_type":"client_credentials"}`, app, "app-token"), 403, "proxy_grant_refused"},
		{"a user who is not allowed", s.vend(monitetest.DemoViewerUserID, app, "app-token"), 403, "proxy_entity_user_not_allowed"},
		{"no app token", s.vend(monitetest.DemoEntityUserID), 401, "proxy_app_token"},
		{"a page, which cannot know the app token", s.vend(monitetest.DemoEntityUserID, "Origin", "https://evil.example"), 403, "proxy_browser_refused"},
		{"an API call", s.vendRaw("GET", "/v1/entities", "", app, "app-token"), 404, "proxy_not_found"},
		{"GET", s.vendRaw("GET", "/v1/auth/token", "", app, "app-token"), 405, "proxy_method_refused"},
		{"the data listener", s.mustCall("POST", "/v1/auth/token", `{"grant_type":"entity_user"}`, app, "app-token"), 403, "proxy_route_refused"},
	}
	for _, tc := range tests {
		if kind, _, _ := problemOf(t, tc.answer); tc.answer.Status != tc.status || kind != tc.kind {
			t.Errorf("%s: %d %s, want %d %s", tc.name, tc.answer.Status, kind, tc.status, tc.kind)
		}
	}
	if got := sim.Stats().Mints; got != 1 {
		t.Errorf("%d mints, want only the partner's", got)
	}
	vended(t, s.vend(monitetest.DemoEntityUserID, app, "app-token"))
}

func TestVendListensOnASocketAndStopsWithTheRest(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	path := filepath.Join(t.TempDir(), "vend.sock")
	s := start(t, vendEnv(url).with("MONITE_VEND_ADDR", "unix:"+path)).ready()
	if a, err := rawOver("unix", path, vendHead+"\r\n"+vendBody); err != nil || a.Status != http.StatusOK {
		t.Fatalf("over the socket: %d %s, %v", a.Status, a.Body, err)
	}
	s.signal(syscall.SIGTERM)
	s.ends(0, 10*time.Second)
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("somebody still listens")
	}
}

func TestVendIsOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	if at := s.vendAddress(); at != "" {
		t.Errorf("tokens are handed out at %s", at)
	}
}

// The settings of the data listener that open it to others do not open this one, and
// each that guards it can be another one here.
func TestVendListenerHasSettingsOfItsOwn(t *testing.T) {
	t.Parallel()
	const ofData, ofVend = "token-of-the-data-listener", "token-of-the-vend-listener"
	own, other := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getuid()+1)
	_, url := simulate(t, monitetest.Config{})
	for name, c := range map[string]struct {
		settings             []string
		dataMode, vendMode   fs.FileMode
		dataShows, vendShows string // the app token that opens each
		dataShut, vendShut   bool   // to this user
	}{
		"an open data socket": {
			settings: []string{"MONITE_SOCKET_MODE", "0666"},
			dataMode: 0o666, vendMode: 0o600,
		},
		"an open vend socket": {
			settings: []string{"MONITE_VEND_SOCKET_MODE", "0660"},
			dataMode: 0o600, vendMode: 0o660,
		},
		"the app token of the data listener guards both": {
			settings: []string{"MONITE_APP_TOKEN", ofData},
			dataMode: 0o600, vendMode: 0o600, dataShows: ofData, vendShows: ofData,
		},
		"a token for each": {
			settings: []string{"MONITE_APP_TOKEN", ofData, "MONITE_VEND_APP_TOKEN", ofVend},
			dataMode: 0o600, vendMode: 0o600, dataShows: ofData, vendShows: ofVend,
		},
		"a token for the vend listener alone": {
			settings: []string{"MONITE_VEND_APP_TOKEN", ofVend},
			dataMode: 0o600, vendMode: 0o600, vendShows: ofVend,
		},
		"the users of the data listener guard both": {
			settings: []string{"MONITE_ALLOWED_PEER_UIDS", other},
			dataMode: 0o600, vendMode: 0o600, dataShut: true, vendShut: true,
		},
		"users for each": {
			settings: []string{"MONITE_ALLOWED_PEER_UIDS", other, "MONITE_VEND_ALLOWED_PEER_UIDS", own},
			dataMode: 0o600, vendMode: 0o600, dataShut: true,
		},
		"users of the vend listener alone": {
			settings: []string{"MONITE_VEND_ALLOWED_PEER_UIDS", other},
			dataMode: 0o600, vendMode: 0o600, vendShut: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := shortDir(t)
			data, vend := filepath.Join(folder, "data"), filepath.Join(folder, "vend")
			start(t, vendEnv(url).with("MONITE_LISTEN_ADDR", "unix:"+data, "MONITE_VEND_ADDR", "unix:"+vend).with(c.settings...)).ready()
			check := func(socket string, mode fs.FileMode, shows string, shut bool, head, body string) {
				if info, err := os.Lstat(socket); err != nil || info.Mode() != fs.ModeSocket|mode {
					t.Errorf("%s: %v, %v, want mode %04o", filepath.Base(socket), info, err, mode)
				}
				for _, token := range []string{"", ofData, ofVend} {
					want := http.StatusOK
					if shows != "" && token != shows {
						want = http.StatusUnauthorized
					}
					a, err := rawOver("unix", socket, head+"X-Monite-Proxy-Token: "+token+"\r\n\r\n"+body)
					if (err != nil) != shut || !shut && a.Status != want {
						t.Errorf("%s with the token %q: %d, %v, want %d, shut %t", filepath.Base(socket), token, a.Status, err, want, shut)
					}
				}
			}
			check(data, c.dataMode, c.dataShows, c.dataShut, "GET /v1/entities?limit=1 HTTP/1.1\r\nHost: localhost\r\n", "")
			check(vend, c.vendMode, c.vendShows, c.vendShut, vendHead, vendBody)
		})
	}
}

// A whole token request, but for its last field.
const (
	vendBody = `{"grant_type":"entity_user","entity_user_id":"` + monitetest.DemoEntityUserID + `"}`
	vendHead = "POST /v1/auth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 84\r\n"
)

// What two readers may understand in two ways is refused, as on the data listener:
// Go's own server takes each of these and hands out a token, or reads on.
func TestVendListenerRefusesWhatIsAmbiguous(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, vendEnv(url)).ready()
	const line, host, length = "POST /v1/auth/token HTTP/1.1\r\n", "Host: localhost\r\n", "Content-Length: 84\r\n"
	chunked := fmt.Sprintf("\r\n%x\r\n%s\r\n0\r\n\r\n", len(vendBody), vendBody)
	for name, raw := range map[string]string{
		"a length and chunks":                line + host + length + "Transfer-Encoding: chunked\r\n" + chunked,
		"the length twice":                   line + host + length + length + "\r\n" + vendBody,
		"the length as a list":               line + host + "Content-Length: 84, 84\r\n\r\n" + vendBody,
		"lines that end in a bare line feed": strings.ReplaceAll(line+host+length+"\r\n", "\r\n", "\n") + vendBody,
		"one field that ends in a line feed": line + host + "X-A: b\n" + length + "\r\n" + vendBody,
		"a folded field":                     line + host + "X-A: b\r\n c\r\n" + length + "\r\n" + vendBody,
		"the whole URL as target":            "POST http://localhost/v1/auth/token HTTP/1.1\r\n" + host + length + "\r\n" + vendBody,
		"chunk size behind a blank":          line + host + "Transfer-Encoding: chunked\r\n" + strings.Replace(chunked, "\r\n", "\r\n ", 1),
		"chunks that end in line feeds":      line + host + "Transfer-Encoding: chunked\r\n\r\n" + strings.ReplaceAll(chunked[2:], "\r\n", "\n"),
		"HTTP/1.0 with chunks": strings.Replace(line, "1.1", "1.0", 1) + host + "Transfer-Encoding: chunked\r\n" +
			chunked,
	} {
		if a, err := rawOver("tcp", s.vendAddress(), raw); err != nil || a.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s, %v, want 400", name, a.Status, a.Body, err)
		}
	}
	if got := sim.Stats().Mints; got != 1 {
		t.Errorf("%d mints, want only the partner's", got)
	}
	if a, err := rawOver("tcp", s.vendAddress(), vendHead+"\r\n"+vendBody); err != nil || a.Status != http.StatusOK {
		t.Errorf("a plain request: %d %s, %v", a.Status, a.Body, err)
	}
}
