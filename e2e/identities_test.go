package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// The ids of these tests, by the short names that their rows use.
var shortIDs = map[string]string{
	"E1": "e1e1e1e1-0000-4000-8000-000000000001", "E2": "e2e2e2e2-0000-4000-8000-000000000002", "E3": "e3e3e3e3-0000-4000-8000-000000000003",
	"E9": "e9e9e9e9-0000-4000-8000-000000000009",
	"U1": "a1a1a1a1-0000-4000-8000-000000000001", "U2": "a2a2a2a2-0000-4000-8000-000000000002", "U3": "a3a3a3a3-0000-4000-8000-000000000003",
	"U9": "a9a9a9a9-0000-4000-8000-000000000009",
}

var shortID = regexp.MustCompile(`\b[EU][1-9]\b`)

// spell writes ids out.
func spell(text string) string {
	return shortID.ReplaceAllStringFunc(text, func(name string) string { return shortIDs[name] })
}

// witness is an upstream that tells whom it saw: its tokens name their grant.
type witness struct {
	mu     sync.Mutex // guards minted
	minted map[string]int
}

// serve answers with who was seen: "cc/E1 /v1/payables".
func (w *witness) serve(t *testing.T) (url string) {
	t.Helper()
	return script(t, func(rw http.ResponseWriter, r *http.Request) {
		who := "cc"
		if asked := asksFor(r); asked.Grant == "entity_user" {
			who = asked.User
		}
		w.mu.Lock()
		w.minted[who]++
		w.mu.Unlock()
		mintToken("token-of-"+who, 1800)(rw, r)
	}, func(rw http.ResponseWriter, r *http.Request) {
		who, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer token-of-")
		entity := r.Header.Get("X-Monite-Entity-Id")
		if entity == "" {
			entity = "-"
		}
		for _, field := range []string{"X-Monite-Entity-User-Id", "X-Monite-Identity"} {
			if len(r.Header[field]) > 0 {
				who += "+" + field
			}
		}
		if len(r.Header["X-Monite-Entity-Id"]) > 1 || len(r.Header["Authorization"]) != 1 {
			who += "+twice"
		}
		rw.Header().Set("X-Seen-Version", r.Header.Get("X-Monite-Version"))
		_, _ = io.WriteString(rw, who+"/"+entity+" "+r.RequestURI)
	})
}

const witnessIdentities = `
identities:
  - name: billing
    grant_type: entity_user
    entity_user_id: U1
    entity_id: E1
    path_prefix: /as/billing
    listen_addr: %s
    api_version: 2023-06-04
  - name: shop
    grant_type: client_credentials
    allowed_entity_ids: [E1, E2]
    path_prefix: /as/shop
    deny: ["DELETE *", "* receivables"]
  - name: reports
    grant_type: client_credentials
    entity_id: E3
    listen_addr: unix:%s
    by_name: false
    read_only: true
  - name: warehouse
    grant_type: entity_user
    entity_user_id: U2
    allowed_entity_ids: [E2]
  - name: open
    grant_type: client_credentials
    allowed_entity_ids: ["*"]
    path_prefix: /open
    by_name: false
    allow: ["GET payables"]
`

// Each row is: where and what, header, and whom upstream saw or the refusal.
// E, U and N are the headers for entity, user and name, H a token handle.
// The default is the partner for E1, which may name E2 and act as U2 and U3.
const identityRows = `
main GET /v1/payables | | cc/E1 /v1/payables
main GET /v1/payables | E=E1 | cc/E1 /v1/payables
main GET /v1/payables | E=E2 | cc/E2 /v1/payables
main GET /v1/payables | E=E3 | 403 entity_not_allowed
main GET /v1/payables | E=x | 400 invalid_identity
main GET /v1/payables | E= | 400 invalid_identity
main GET /v1/payables | E=E1 E=E1 | 400 duplicate_identity
main GET /v1/payables | E=E1 E=E2 | 400 duplicate_identity
main GET /v1/payables | x_monite_entity_id=E2 | 400 invalid_identity
main GET /v1/payables | x_monite_entity_id=E2 E=E1 | 400 duplicate_identity
main GET /v1/payables | U=U3 | U3/E1 /v1/payables
main GET /v1/payables | U=U3 E=E2 | U3/E2 /v1/payables
main GET /v1/payables | U=U3 E=E3 | 403 entity_not_allowed
main GET /v1/payables | U=U1 | 403 entity_user_not_allowed
main GET /v1/payables | U=U9 | 403 entity_user_not_allowed
main GET /v1/payables | U=U3 U=U3 | 400 duplicate_identity
main GET /v1/payables | U=E1 | 403 entity_user_not_allowed
main GET /v1/payables | U= | 400 invalid_identity
main GET /v1/payables | U=U2 | U2/E2 /v1/payables
main GET /v1/payables | U=U2 E=E2 | U2/E2 /v1/payables
main GET /v1/payables | U=U2 E=E1 | 403 entity_not_allowed
main GET /v1/payables | U=U2 E=E3 | 403 entity_not_allowed
main POST /v1/payables | U=U2 E=E1 | 403 entity_not_allowed
main GET /v1/payables | N=billing | U1/E1 /v1/payables
main GET /v1/payables | N=billing E=E1 | U1/E1 /v1/payables
main GET /v1/payables | N=billing E=E2 | 403 entity_not_allowed
main GET /v1/payables | N=billing U=U1 | U1/E1 /v1/payables
main GET /v1/payables | N=billing U=U2 | 403 entity_user_not_allowed
main GET /v1/payables | N=billing U=U3 | 403 entity_user_not_allowed
main GET /v1/payables | N=billing U=x | 400 invalid_identity
main GET /v1/payables | N=billing N=billing | 400 duplicate_identity
main GET /v1/payables | N=billing N=shop | 400 duplicate_identity
main GET /v1/payables | N=Billing | 403 unknown_identity
main GET /v1/payables | N=billing, | 403 unknown_identity
main GET /v1/payables | N=BILLING | 403 unknown_identity
main GET /v1/payables | N=nobody | 403 unknown_identity
main GET /v1/payables | N= | 403 unknown_identity
main GET /v1/payables | N=default | 403 unknown_identity
main GET /v1/payables | N=nobody E=E1 | 403 unknown_identity
main GET /v1/payables | N=nobody U=U3 | 403 unknown_identity
main GET /v1/payables | N=reports | 403 unknown_identity
main GET /v1/payables | N=open | 403 unknown_identity
main GET /v1/payables | x_monite_identity=billing | 400 invalid_identity
main GET /v1/payables | x_monite_identity=billing N=shop | 400 duplicate_identity
main GET /v1/payables | X-Monite_Identity=billing | 400 invalid_identity
main GET /v1/payables | x.monite.identity=billing | 400 invalid_identity
main GET /v1/payables | N=shop | cc/- /v1/payables
main GET /v1/payables | N=shop E=E1 | cc/E1 /v1/payables
main GET /v1/payables | N=shop E=E2 | cc/E2 /v1/payables
main GET /v1/payables | N=shop E=E3 | 403 entity_not_allowed
main GET /v1/payables | N=shop U=U3 | 403 entity_user_not_allowed
main GET /v1/payables | N=shop U=U2 E=E2 | 403 entity_user_not_allowed
main GET /v1/payables | N=warehouse | U2/E2 /v1/payables
main GET /v1/payables | N=warehouse E=E2 | U2/E2 /v1/payables
main GET /v1/payables | N=warehouse E=E1 | 403 entity_not_allowed
main GET /v1/payables | N=warehouse U=U2 | U2/E2 /v1/payables
main GET /v1/payables | N=warehouse U=U1 | 403 entity_user_not_allowed
main GET /as/billing/v1/payables | | U1/E1 /v1/payables
main GET /as/billing/v1/payables?limit=1&a=%2F | | U1/E1 /v1/payables?limit=1&a=%2F
main GET /as/billing/v1/payables? | | U1/E1 /v1/payables?
main GET /as/billing/v1/payables/ | | U1/E1 /v1/payables/
main GET /as/billing/v1/files/a%20b | | U1/E1 /v1/files/a%20b
main GET /as/billing/v1/payables?next=/as/shop/v1/x | | U1/E1 /v1/payables?next=/as/shop/v1/x
main POST /as/billing/v1/payables | | U1/E1 /v1/payables
main DELETE /as/billing/v1/payables/x | | U1/E1 /v1/payables/x
main GET /as/billing/v1/payables | E=E1 | U1/E1 /v1/payables
main GET /as/billing/v1/payables | E=E2 | 403 entity_not_allowed
main GET /as/billing/v1/payables | E=E1 E=E1 | 400 duplicate_identity
main GET /as/billing/v1/payables | U=U1 | U1/E1 /v1/payables
main GET /as/billing/v1/payables | U=U3 | 403 entity_user_not_allowed
main GET /as/billing/v1/payables | N=billing | U1/E1 /v1/payables
main GET /as/billing/v1/payables | N=shop | 400 duplicate_identity
main GET /as/billing/v1/payables | N=reports | 400 duplicate_identity
main GET /as/billing/v1/payables | N=nobody | 403 unknown_identity
main GET /as/billing/v1/payables | N= | 403 unknown_identity
main GET /as/billing/v1/auth/revoke | | 403 route_refused
main POST /as/billing/v1/auth/revoke | | 403 route_refused
main POST /as/billing/v1/%61uth/revoke | | 403 route_refused
main GET /as/billing/../shop/v1/payables | | 400 bad_request_target
main GET /as/billing/%2e%2e/shop/v1/payables | | 400 bad_request_target
main GET /as/billing//v1/payables | | 400 bad_request_target
main GET /as//billing/v1/payables | | 400 bad_request_target
main GET /as/billing%2fv1/payables | | 400 bad_request_target
main GET /as/billing;x/v1/payables | | 400 bad_request_target
main GET /as/billing\v1/payables | | 400 bad_request_target
main GET //as/billing/v1/payables | | 400 bad_request_target
main GET /as/billing | | 403 unknown_identity
main GET /as/ | | 403 unknown_identity
main GET /as | | 403 unknown_identity
main GET /as/Billing/v1/payables | | 403 unknown_identity
main GET /AS/billing/v1/payables | | 403 unknown_identity
main GET /as/BILLING/v1/payables | | 403 unknown_identity
main GET /%61s/billing/v1/payables | | 403 unknown_identity
main GET /as/%62illing/v1/payables | | 403 unknown_identity
main GET /as/billin/v1/payables | | 403 unknown_identity
main GET /as/billing2/v1/payables | | 403 unknown_identity
main GET /as/billing%20/v1/payables | | 403 unknown_identity
main GET /as/reports/v1/payables | | 403 unknown_identity
main GET /as/v1/payables | | 403 unknown_identity
main GET /as/billing/as/shop/v1/payables | | 403 unknown_identity
main GET /as/billing/open/v1/payables | | 403 unknown_identity
main GET /as/nobody/v1/payables | N=billing | 403 unknown_identity
main GET /Open/v1/payables | | 403 unknown_identity
main GET /open | | 403 unknown_identity
main GET /open/v1/payables | | cc/- /v1/payables
main GET /open/v1/payables | E=E9 | cc/E9 /v1/payables
main GET /open/v1/payables | E=E1 | cc/E1 /v1/payables
main GET /open/v1/payables | E=E | 400 invalid_identity
main GET /open/v1/payables | U=U3 | 403 entity_user_not_allowed
main GET /open/v1/payables | N=open | cc/- /v1/payables
main HEAD /open/v1/payables | | 200
main POST /open/v1/payables | | 403 route_refused
main GET /open/v1/receivables | | 403 route_refused
main GET /open/v1/payables/x | | cc/- /v1/payables/x
main GET /open/v1/payables/X | | cc/- /v1/payables/X
main GET /open/v1/nothing | | 403 route_refused
main GET /open/payables | | 403 route_refused
main GET /openx/v1/payables | | 403 route_refused
main GET /as/shop/v1/payables | | cc/- /v1/payables
main GET /as/shop/v1/payables | E=E2 | cc/E2 /v1/payables
main GET /as/shop/v1/payables | E=E3 | 403 entity_not_allowed
main GET /as/shop/v1/receivables | E=E1 | 403 route_refused
main GET /as/shop/v1/receivables/ | E=E1 | 403 route_refused
main GET /as/shop/v1/Receivables | E=E1 | 403 route_refused
main GET /as/shop/v1/%72eceivables | E=E1 | 403 route_refused
main GET /as/shop/V1/receivables | E=E1 | 403 route_refused
main GET /as/shop/receivables | E=E1 | 403 route_refused
main POST /as/shop/v1/receivables/x/cancel | E=E1 | 403 route_refused
main GET /as/shop/v1/receivables/x/y/z | E=E1 | 403 route_refused
main DELETE /as/shop/v1/payables/x | E=E1 | 403 route_refused
main DELETE /as/shop/v1/nothing | E=E1 | 403 route_refused
main PATCH /as/shop/v1/payables/x | E=E1 | cc/E1 /v1/payables/x
main DELETE /v1/payables/x | N=shop E=E1 | 403 route_refused
main GET /v1/receivables | N=shop E=E1 | 403 route_refused
main GET /v1/receivables | | cc/E1 /v1/receivables
main DELETE /v1/payables/x | | cc/E1 /v1/payables/x
L1 GET /v1/payables | | U1/E1 /v1/payables
L1 GET /v1/payables | E=E1 | U1/E1 /v1/payables
L1 GET /v1/payables | E=E2 | 403 entity_not_allowed
L1 GET /v1/payables | U=U1 | U1/E1 /v1/payables
L1 GET /v1/payables | U=U3 | 403 entity_user_not_allowed
L1 GET /v1/payables | N=billing | U1/E1 /v1/payables
L1 GET /v1/payables | N=shop | 400 duplicate_identity
L1 GET /v1/payables | N=nobody | 403 unknown_identity
L1 GET /as/billing/v1/payables | | U1/E1 /v1/payables
L1 GET /as/billing/v1/payables | N=billing E=E1 U=U1 | U1/E1 /v1/payables
L1 GET /as/shop/v1/payables | | 400 duplicate_identity
L1 GET /open/v1/payables | | 400 duplicate_identity
L1 GET /as/shop/v1/payables | N=billing | 400 duplicate_identity
L1 GET /as/nobody/v1/payables | | 403 unknown_identity
L1 POST /v1/auth/revoke | | 403 route_refused
S GET /v1/payables | | cc/E3 /v1/payables
S GET /v1/payables | E=E3 | cc/E3 /v1/payables
S GET /v1/payables | E=E1 | 403 entity_not_allowed
S GET /v1/payables | N=reports | cc/E3 /v1/payables
S GET /v1/payables | N=billing | 400 duplicate_identity
S GET /as/billing/v1/payables | | 400 duplicate_identity
S HEAD /v1/payables | | 200
S POST /v1/payables | | 403 read_only
S DELETE /v1/payables/x | | 403 read_only
S PATCH /v1/payables/x | E=E3 | 403 read_only
S GET /v1/payables | U=U3 | 403 entity_user_not_allowed
main GET /v1/payables | H=billing | U1/E1 /v1/payables
main GET /v1/payables | H=billing N=billing E=E1 | U1/E1 /v1/payables
main GET /v1/payables | H=billing E=E2 | 403 entity_not_allowed
main GET /v1/payables | H=billing N=shop | 400 duplicate_identity
main GET /as/shop/v1/payables | H=billing | 400 duplicate_identity
main GET /as/billing/v1/payables | H=billing | U1/E1 /v1/payables
L1 GET /v1/payables | H=billing | U1/E1 /v1/payables
L1 GET /v1/payables | H=cc | 400 duplicate_identity
S GET /v1/payables | H=billing | 400 duplicate_identity
S GET /v1/payables | H=reports | cc/E3 /v1/payables
main GET /v1/payables | H=reports | 403 unknown_identity
main GET /v1/payables | H=warehouse | U2/E2 /v1/payables
main GET /v1/payables | H=cc | cc/E1 /v1/payables
main GET /v1/payables | H=cc E=E2 | cc/E2 /v1/payables
main GET /v1/payables | H=cc U=U3 | 400 duplicate_identity
main GET /v1/payables | H=cc N=billing | 400 duplicate_identity
main GET /as/billing/v1/payables | H=cc | 400 duplicate_identity
main GET /v1/payables | H=U3 | U3/E1 /v1/payables
main GET /v1/payables | H=U3 U=U3 E=E2 | U3/E2 /v1/payables
main GET /v1/payables | H=U3 U=U2 | 400 duplicate_identity
main GET /v1/payables | H=U2 | U2/E2 /v1/payables
main GET /v1/payables | H=U2 E=E1 | 403 entity_not_allowed
main GET /v1/payables | Authorization=Bearer~mph1_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA | 403 unknown_identity
main GET /v1/payables | Authorization=Bearer~made-up | 403 unknown_identity
main GET /as/billing/v1/payables | Authorization=Bearer~made-up | 403 unknown_identity
main GET /v1/payables | Authorization=Basic~YTpi | 403 unknown_identity
`

func TestEveryWayToAnIdentity(t *testing.T) {
	t.Parallel()
	w := &witness{minted: map[string]int{}}
	url := w.serve(t)
	directory := shortDir(t)
	socket, port, path := directory+"/reports.sock", freePort(t), directory+"/identities.yaml"
	writeFile(t, path, fmt.Sprintf(spell(witnessIdentities), port, socket))
	s := start(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path, "MONITE_ENTITY_ID", shortIDs["E1"], "MONITE_TOKEN_HANDLES", "true",
		"MONITE_ALLOWED_ENTITY_IDS", spell("E1,E2"), "MONITE_ALLOWED_ENTITY_USER_IDS", spell("U2,U3"))).ready()
	listeners := map[string][2]string{"main": {"tcp", strings.TrimPrefix(s.Data, "http://")}, "L1": {"tcp", port}, "S": {"unix", socket}}

	handles := map[string]string{}
	for _, ask := range [][3]string{
		{"billing", "L1", `{"grant_type":"entity_user","entity_user_id":"U1","client_id":"x","client_secret":"y"}`},
		{"reports", "S", `{"grant_type":"client_credentials"}`},
		{"warehouse", "main", `{"grant_type":"entity_user","entity_user_id":"U2","name":"warehouse"}`},
		{"cc", "main", `{"grant_type":"client_credentials"}`},
		{"U3", "main", `{"grant_type":"entity_user","entity_user_id":"U3"}`},
		{"U2", "main", `{"grant_type":"entity_user","entity_user_id":"U2"}`},
	} {
		var fields []string
		if strings.Contains(ask[2], `"name"`) {
			fields = []string{"X-Monite-Identity: " + ask[0]}
		}
		at := listeners[ask[1]]
		a, err := rawOver(at[0], at[1], wiretest.Post("/v1/auth/token", spell(ask[2]), fields...))
		if err != nil {
			t.Fatal(err)
		}
		handles[ask[0]] = handleIn(t, a)
	}

	rows := 0
	for line := range strings.Lines(strings.TrimSpace(identityRows)) {
		columns := strings.Split(strings.TrimSpace(line), "|")
		if len(columns) != 3 {
			t.Fatalf("row %q", line)
		}
		rows++
		what := strings.Fields(columns[0])
		fields := []string{"Content-Length: 0"}
		for _, pair := range strings.Fields(columns[1]) {
			name, value, _ := strings.Cut(pair, "=")
			switch name {
			case "E":
				name = "X-Monite-Entity-Id"
			case "U":
				name = "X-Monite-Entity-User-Id"
			case "N":
				name = "X-Monite-Identity"
			case "H":
				name, value = "Authorization", "Bearer "+handles[value]
			}
			fields = append(fields, name+": "+spell(strings.ReplaceAll(value, "~", " ")))
		}
		at := listeners[what[0]]
		a, err := rawOver(at[0], at[1], wiretest.Head(what[1], what[2], fields...)+"\r\n") // targets as they stand
		if err != nil {
			t.Fatalf("%s: %v", strings.TrimSpace(line), err)
		}
		got := a.Body
		if a.Status != 200 {
			kind, _, _ := problemOf(t, a)
			got = fmt.Sprintf("%d %s", a.Status, strings.TrimPrefix(kind, "proxy_"))
		} else if what[1] == "HEAD" {
			got = "200"
		}
		if want := spell(strings.TrimSpace(columns[2])); got != want {
			t.Errorf("%s\n got %s\nwant %s", strings.TrimSpace(line), got, want)
		}
		wantVersion := "2024-05-25"
		if strings.HasPrefix(got, shortIDs["U1"]+"/") {
			wantVersion = "2023-06-04" // billing's own
		}
		if seen := a.Header.Get("X-Seen-Version"); a.Status == 200 && seen != wantVersion {
			t.Errorf("%s: version %s, want %s", strings.TrimSpace(line), seen, wantVersion)
		}
	}
	t.Logf("%d rows", rows)
	if rows < 150 {
		t.Errorf("%d rows, want 150 at least", rows)
	}
	// What was refused was refused before any mint.
	w.mu.Lock()
	defer w.mu.Unlock()
	for who, n := range w.minted {
		if !slices.Contains([]string{"cc", shortIDs["U1"], shortIDs["U2"], shortIDs["U3"]}, who) || n != 1 {
			t.Errorf("%d mints for %s", n, who)
		}
	}
	for name, id := range shortIDs {
		if s.loggedNow(id) {
			t.Errorf("the log holds the id %s", name)
		}
	}
}

// handleIn is the token in a response.
func handleIn(t *testing.T, a answer) string {
	t.Helper()
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal([]byte(a.Body), &got) != nil || a.Status != 200 || got.AccessToken == "" {
		t.Fatalf("token request: %d %s", a.Status, a.Body)
	}
	return got.AccessToken
}

// An app that can only change its base URL, and follows redirects.
func TestBareBaseURLThroughPrefix(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	path := filepath.Join(t.TempDir(), "identities.yaml")
	writeFile(t, path, "identities:\n  - name: studio\n    grant_type: entity_user\n    entity_user_id: "+monitetest.DemoStudioUserID+
		"\n    entity_id: "+monitetest.DemoStudioID+"\n    path_prefix: /as/studio\n")
	s := start(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path)).ready()
	base := s.Data + "/as/studio/v1"

	response, err := http.Get(base + "/payables/?limit=1")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := response.Request.URL.String(); response.StatusCode != 200 || got != base+"/payables?limit=1" {
		t.Errorf("the redirect ends at %s with %d, want %s/payables?limit=1", got, response.StatusCode, base)
	}
	if me := s.want(200, "GET", "/as/studio/v1/entity_users/me", ""); !strings.Contains(me.Body, monitetest.DemoStudioUserID) {
		t.Errorf("me = %s", me.Body)
	}
	for _, r := range sim.Requests() {
		if strings.HasPrefix(r.Target, "/as") || r.Header.Get("X-Monite-Entity-Id") != "" && r.Header.Get("X-Monite-Entity-Id") != monitetest.DemoStudioID {
			t.Errorf("upstream saw %s for entity %s", r.Target, r.Header.Get("X-Monite-Entity-Id"))
		}
	}
}

func TestCheckPrintsIdentitiesWithoutIDs(t *testing.T) {
	t.Parallel()
	path, socket := filepath.Join(t.TempDir(), "identities.yaml"), shortDir(t)+"/reports.sock"
	writeFile(t, path, fmt.Sprintf(spell(witnessIdentities), "127.0.0.1:8099", socket))
	output := wantCommand(t, 0, defaultEnv("http://127.0.0.1:1").with("MONITE_IDENTITIES_FILE", path), "check",
		"5 named identities", "listener 127.0.0.1:8099; path prefix /as/billing; X-Monite-Identity: billing", "listener unix:"+socket+" (mode 0600)",
		"deny         DELETE *, * receivables", "read only    GET and HEAD", "any that the app names", "version      2023-06-04",
		"allow        GET payables")
	for name, id := range shortIDs {
		if strings.Contains(output, id) {
			t.Errorf("check prints the id %s", name)
		}
	}
}

func TestBadIdentitiesFileEndsTheStartWithEveryMistake(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "identities.yaml")
	writeFile(t, path, "identities:\n  - name: a\n    grant_type: entity_user\n    path_prefix: /v1\n    deny: [GET payable]\n")
	e := defaultEnv("http://127.0.0.1:1").with("MONITE_IDENTITIES_FILE", path, "MONITE_READ_ONLY", "perhaps")
	for _, command := range []string{"serve", "check"} {
		wantCommand(t, 2, e, command,
			"MONITE_READ_ONLY: want true or false",
			"MONITE_IDENTITIES_FILE line 3: want entity_user_id with grant_type entity_user",
			"MONITE_IDENTITIES_FILE line 4: want a path without /v1",
			"MONITE_IDENTITIES_FILE line 5: want a resource or path template that Monite publishes, * or other: did you mean payables?")
	}
}

// The environment is named where an operator looks, and credentials of one are
// never sent to another.
func TestEnvironmentIsNamedAndNotMixedUp(t *testing.T) {
	t.Parallel()
	e := defaultEnv("https://api.monite.com").with("MONITE_ENVIRONMENT", "sandbox")
	wantCommand(t, 2, e, "", "MONITE_ENVIRONMENT: want the environment that the host of MONITE_API_URL belongs to")
	s := start(t, defaultEnv("http://127.0.0.1:1").with("MONITE_ENVIRONMENT", "eu")) // an address that is nobody's
	if got := s.logField("environment"); got != "eu" {
		t.Errorf("environment in the log = %q", got)
	}
	if a := s.admin("GET", "/metrics"); !strings.Contains(a.Body, `monite_proxy_environment_info{environment="eu"} 1`) {
		t.Error("the metrics do not name the environment")
	}
	if a := s.admin("GET", "/status"); !strings.Contains(a.Body, `"environment": "eu"`) {
		t.Errorf("status = %s", a.Body)
	}
}

// A request that an identity's own listener has accepted is answered, whatever
// comes: the listener's removal, or the end of the sidecar.
func TestOwnListenerDrains(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *sidecar, path string){
		"removed": func(s *sidecar, path string) {
			writeFile(s.t, path, "identities: []\n")
			s.signal(syscall.SIGHUP)
		},
		"SIGTERM": func(s *sidecar, _ string) { s.signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, release := make(chan struct{}), make(chan struct{})
			url := script(t, nil, func(w http.ResponseWriter, r *http.Request) {
				close(began)
				<-release
				answerOK(w, r)
			})
			path, port := filepath.Join(t.TempDir(), "identities.yaml"), freePort(t)
			writeFile(t, path, "identities:\n  - name: a\n    grant_type: client_credentials\n    listen_addr: "+port+"\n")
			s := start(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path)).ready()
			ended := make(chan outcome, 1)
			go func() {
				a, err := request(context.Background(), "GET", "http://"+port+"/v1/entities", "")
				ended <- outcome{a, err}
			}()
			<-began
			end(s, path)
			wiretest.Eventually(t, "the listener to close", func() bool { return refusesConnections(port) })
			close(release)
			if o := <-ended; o.err != nil || o.answer.Status != 200 {
				t.Errorf("the request under way: %d %s, %v", o.answer.Status, o.answer.Body, o.err)
			}
			if name == "SIGTERM" {
				s.ends(0, 10*time.Second)
				return
			}
			s.want(403, "GET", "/v1/entities", "", "X-Monite-Identity", "a")
		})
	}
}

// What cannot be taken over whole leaves everything as it was.
func TestBadReloadKeepsEverything(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	directory := shortDir(t)
	path, socket := directory+"/identities.yaml", directory+"/a.sock"
	good := "identities:\n  - {name: a, grant_type: client_credentials, path_prefix: /as/a, listen_addr: \"unix:" + socket + "\"}\n"
	writeFile(t, path, good)
	s := start(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path)).ready()
	works := func(what string) {
		t.Helper()
		s.want(200, "GET", "/as/a/v1/entities", "")
		wantOver(t, socket)
	}
	works("at first")
	failed := func() float64 { return s.metricValue(`monite_proxy_identity_reloads_total{result="failed"}`) }

	writeFile(t, path, good+"  - {name: a, grant_type: client_credentials}\n")
	s.waitFor("the failure", func() bool { return failed() == 1 })
	s.wantLogged("the old identities stay", "line 3: want another name")
	works("after a bad file")

	taken := listenOn(t, "127.0.0.1:0")
	free := freePort(t)
	more := good + "  - {name: b, grant_type: client_credentials, listen_addr: \"" + free +
		"\"}\n  - {name: c, grant_type: client_credentials, listen_addr: \"" + fmt.Sprint(taken.Addr()) + "\"}\n"
	more = strings.Replace(more, "path_prefix: /as/a", "path_prefix: /as/other", 1)
	writeFile(t, path, more)
	s.waitFor("the second failure", func() bool { return failed() == 2 })
	works("after a listener that cannot be opened")
	if !refusesConnections(free) {
		t.Error("half of the change was taken over")
	}
	s.want(403, "GET", "/v1/entities", "", "X-Monite-Identity", "b")
	_ = taken.Close()
	s.signal(syscall.SIGHUP)
	s.waitFor("the change", func() bool { return !refusesConnections(free) })
	s.waitFor("the new prefix", func() bool { return s.mustCall("GET", "/as/other/v1/entities", "").Status == 200 })
	s.want(403, "GET", "/as/a/v1/entities", "")

	// A ConfigMap that goes away keeps what is known; so does an empty file.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.waitFor("the third failure", func() bool { return failed() == 3 })
	s.want(200, "GET", "/as/other/v1/entities", "")
}

func TestSocketModeFollowsTheFile(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	directory := shortDir(t)
	path, socket := directory+"/identities.yaml", directory+"/a.sock"
	text := "identities:\n  - {name: a, grant_type: client_credentials, listen_addr: \"unix:" + socket + "\", socket_mode: \"%s\"}\n"
	mode := func() os.FileMode {
		info, err := os.Lstat(socket)
		if err != nil {
			return 0
		}
		return info.Mode().Perm()
	}
	writeFile(t, path, fmt.Sprintf(text, "0600"))
	s := start(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path)).ready()
	if got := mode(); got != 0o600 {
		t.Errorf("mode = %#o, want 0600", got)
	}
	writeFile(t, path, fmt.Sprintf(text, "0660"))
	s.waitFor("the other mode", func() bool { return mode() == 0o660 })
	writeFile(t, path, "identities: []\n")
	s.waitFor("the socket to go", func() bool { return mode() == 0 })
}

func TestRulesOnTrialAreCounted(t *testing.T) {
	t.Parallel()
	url := script(t, nil, answerOK)
	path := filepath.Join(t.TempDir(), "identities.yaml")
	writeFile(t, path, "identities:\n  - {name: a, grant_type: client_credentials, path_prefix: /a, deny: [\"* payables\"], audit_only: true}\n")
	s := start(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path)).ready()
	for target, want := range map[string]float64{"/a/v1/entities": 0, "/a/v1/payables": 1} {
		before := s.metricValue(`monite_proxy_audited_refusals_total{type="proxy_route_refused"}`)
		s.want(200, "GET", target, "")
		s.waitFor("the count for "+target, func() bool {
			return s.metricValue(`monite_proxy_audited_refusals_total{type="proxy_route_refused"}`) == before+want
		})
	}
	s.wantLogged(`"identity":"a"`, `"would_refuse":"proxy_route_refused"`, `"route":"/v1/payables"`)
}

// An app keeps its handle: no SDK asks for another one unless it is told that
// its token is old, and the sidecar never says so.
func TestHandleOutlivesTheSidecar(t *testing.T) {
	t.Parallel()
	w := &witness{minted: map[string]int{}}
	e := defaultEnv(w.serve(t)).with("MONITE_TOKEN_HANDLES", "true")
	first := start(t, e).ready()
	a := first.mustCall("POST", "/v1/auth/token", spell(`{"grant_type":"entity_user","entity_user_id":"U3"}`))
	handle := handleIn(t, a)
	first.signal(syscall.SIGKILL)
	<-first.ended
	for name, c := range map[string]struct {
		env  env
		want string
	}{
		"a restart":      {e, spell("U3/- /v1/payables")},
		"another secret": {e.with("MONITE_CLIENT_SECRET", "another-secret"), "proxy_unknown_identity"},
		"handles off":    {e.with("MONITE_TOKEN_HANDLES", "false"), "proxy_unknown_identity"},
		"another policy": {e.with("MONITE_ALLOWED_ENTITY_USER_IDS", shortIDs["U2"]), "proxy_entity_user_not_allowed"},
	} {
		s := start(t, c.env).ready()
		a := s.mustCall("GET", "/v1/payables", "", "Authorization", "Bearer "+handle)
		if !strings.Contains(a.Body, c.want) || strings.Contains(strings.ToLower(a.Body), "expired") {
			t.Errorf("after %s: %d %s, want %s", name, a.Status, a.Body, c.want)
		}
	}
}
