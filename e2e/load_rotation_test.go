package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// revoker is a Monite whose pairs of credentials come and go. A pair that is
// revoked gets no token any more; its tokens live on, unless they are taken away
// as well.
type revoker struct {
	mu      sync.Mutex // guards what follows
	pairs   map[string]bool
	tokens  map[string]mintedHere
	refused map[string]int // mints, by pair
	serial  int
	strange []string // what must not be seen
}

type mintedHere struct {
	pair, user string
	ends       time.Time
}

func newRevoker(t *testing.T) (*revoker, string) {
	r := &revoker{pairs: map[string]bool{}, tokens: map[string]mintedHere{}, refused: map[string]int{}}
	return r, script(t, r.mint, r.call)
}

func (r *revoker) allow(pair string, allowed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pairs[pair] = allowed
}

// takeAway revokes the tokens that a pair has got.
func (r *revoker) takeAway(pair string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for text, token := range r.tokens {
		if token.pair == pair {
			delete(r.tokens, text)
		}
	}
}

func (r *revoker) refusals(pair string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused[pair]
}

func (r *revoker) call(w http.ResponseWriter, in *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	token, known := r.tokens[strings.TrimPrefix(in.Header.Get("Authorization"), "Bearer ")]
	if !known || time.Now().After(token.ends) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"message":"The access token is invalid"}}`)
		return
	}
	_, _ = fmt.Fprintf(w, `{"acts_as":%q}`, token.user)
}

func (r *revoker) mint(w http.ResponseWriter, in *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := asksFor(in)
	pair := asked.ClientID + " " + asked.ClientSecret
	allowed, known := r.pairs[pair]
	if !known {
		r.strange = append(r.strange, "a pair that never was: "+pair)
	}
	if !allowed {
		r.refused[pair]++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.serial++
	text := fmt.Sprintf("token-%d", r.serial)
	r.tokens[text] = mintedHere{pair, asked.User, time.Now().Add(4 * time.Second)}
	mintToken(text, 4)(w, in)
}

// mountPair writes the two files of a pair, which change together.
func mountPair(t *testing.T, directory, pair string) {
	t.Helper()
	id, clientSecret, _ := strings.Cut(pair, " ")
	mount(t, directory, map[string]string{"id": id, "secret": clientSecret})
}

func pairEnv(url, directory string) env {
	return defaultEnv(url).with("MONITE_CLIENT_ID", "", "MONITE_CLIENT_SECRET", "",
		"MONITE_CLIENT_ID_FILE", directory+"/id", "MONITE_CLIENT_SECRET_FILE", directory+"/secret")
}

// credentialsStatus is the part of /status that tells of the credentials.
type credentialsStatus struct {
	Summary string
	Live    string `json:"live_client_hash"`
	NewPair string `json:"new_pair"`
	New     string `json:"new_client_hash"`
	Reason  string
}

func (s *sidecar) credentials() credentialsStatus {
	s.t.Helper()
	var status struct{ Credentials credentialsStatus }
	if err := json.Unmarshal([]byte(s.admin("GET", "/status").Body), &status); err != nil {
		s.t.Fatal(err)
	}
	return status.Credentials
}

// Credentials change again and again while the partner and entity users call:
// the secret alone, or the id as well; bad pairs in between; the pair before
// revoked as soon as the new one is live, sometimes with its tokens. No request
// fails, and none acts as somebody else.
func TestRotationUnderLoadFailsNothing(t *testing.T) {
	t.Parallel()
	monite, url := newRevoker(t)
	files, live := t.TempDir(), "id-0 secret-0"
	monite.allow(live, true)
	mountPair(t, files, live)
	s := start(t, pairEnv(url, files).with("MONITE_MAX_MINTS_PER_SECOND", "200")).ready()

	users := []string{"", monitetest.DemoEntityUserID, monitetest.DemoViewerUserID, monitetest.DemoStudioUserID}
	var answered, failed atomic.Int64
	first := make(chan string, 1)
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	stop := goOn(t, 8, func(worker, n int) {
		<-time.After(5 * time.Millisecond)
		if err := actAs(transport, s.Data, users[(worker+n)%len(users)], (worker+n)%3 == 0); err != nil {
			failed.Add(1)
			select {
			case first <- err.Error():
			default:
			}
		}
		answered.Add(1)
	})

	began, bad := time.Now(), 0
	total := wiretest.Number(t, "ROTATIONS", 12)
	for n := 1; n <= total && failed.Load() == 0; n++ {
		if n%3 == 1 { // a pair that the endpoint does not know
			bad++
			wrong := fmt.Sprintf("id-%d wrong-%d", n/2, n)
			monite.allow(wrong, false)
			mountPair(t, files, wrong)
			s.waitFor("the refusal", func() bool { return monite.refusals(wrong) > 0 })
		}
		next := fmt.Sprintf("id-%d secret-%d", n/2, n)
		monite.allow(next, true)
		mountPair(t, files, next)
		s.waitFor("the new pair to be live", func() bool {
			c := s.credentials()
			return c.NewPair == "none" && monite.has(next)
		})
		monite.allow(live, false)
		if n%10 == 0 {
			monite.takeAway(live)
		}
		live = next
	}
	<-time.After(time.Second)
	stop()
	monite.mu.Lock()
	defer monite.mu.Unlock()
	t.Logf("%d rotations and %d bad pairs in %v: %d requests, %d failed, %d tokens minted", total, bad, time.Since(began).Round(time.Millisecond),
		answered.Load(), failed.Load(), monite.serial)
	if failed.Load() != 0 {
		t.Errorf("%d of %d requests failed, such as: %s", failed.Load(), answered.Load(), <-first)
	}
	if len(monite.strange) != 0 {
		t.Errorf("%d mints were strange, such as %s", len(monite.strange), monite.strange[0])
	}
	if got := s.metricValue(`monite_proxy_credential_rotations_total{result="ok"}`); got != float64(total) {
		t.Errorf("rotations_total ok = %v, want %d", got, total)
	}
	if got := s.metricValue(`monite_proxy_credential_rotations_total{result="refused"}`); got < float64(bad) {
		t.Errorf("rotations_total refused = %v, want %d at least", got, bad)
	}
}

// has reports whether a pair has been used for a token.
func (r *revoker) has(pair string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, token := range r.tokens {
		if token.pair == pair {
			return true
		}
	}
	return false
}

// actAs sends one request and wants to have acted as the user.
func actAs(by http.RoundTripper, url, user string, write bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	in := newRequest(ctx, http.MethodGet, url+"/v1/payables", nil)
	if write {
		in = newRequest(ctx, http.MethodPost, url+"/v1/payables", strings.NewReader(`{"x":1}`))
	}
	if user != "" {
		in.Header.Set("X-Monite-Entity-User-Id", user)
	}
	a, err := exchange(by, in)
	if want := fmt.Sprintf(`{"acts_as":%q}`, user); err != nil || a.Status != http.StatusOK || a.Body != want {
		return fmt.Errorf("%s as %q: %d %s %v", in.Method, user, a.Status, a.Body, err)
	}
	return nil
}

// While the new pair is refused the old one serves all, users who come for the
// first time included; and whoever looks can see which is which.
func TestRefusedPairIsSeenAndHarmsNobody(t *testing.T) {
	t.Parallel()
	monite, url := newRevoker(t)
	files := t.TempDir()
	const old, wrong = "old-id old-secret", "new-id new-secret"
	monite.allow(old, true)
	monite.allow(wrong, false)
	mountPair(t, files, old)
	s := start(t, pairEnv(url, files)).ready()
	before := s.credentials()
	mountPair(t, files, wrong)
	s.waitFor("the refusal to be shown", func() bool { return s.credentials().NewPair == "refused" })
	status := s.credentials()
	if status.Summary != "old pair live, new pair refused" || status.Live != before.Live || status.New == "" || status.New == before.Live ||
		status.Reason != "rejected" {
		t.Errorf("status = %+v, before %+v", status, before)
	}
	if got := s.metricValue("monite_proxy_credential_rotation_pending"); got != 1 {
		t.Errorf("pending = %v, want 1", got)
	}
	s.wantLogged(`"level":"error"`, "old pair live, new pair refused", `"live_client_hash":"`+status.Live, `"new_client_hash":"`+status.New)
	if all := s.log.String() + s.admin("GET", "/status").Body + s.admin("GET", "/metrics").Body; strings.Contains(all, "old-id") ||
		strings.Contains(all, "new-id") {
		t.Error("an id is shown")
	}
	for _, user := range []string{"", monitetest.DemoEntityUserID, monitetest.DemoViewerUserID} {
		if err := actAs(http.DefaultTransport, s.Data, user, false); err != nil {
			t.Error(err)
		}
	}
	s.wantProbe("/readyz", http.StatusOK)
	// The old pair is revoked, and the new one comes to life: the next refusal of
	// the old one has the new one tried at once, without a change of the files.
	monite.allow(wrong, true)
	monite.allow(old, false)
	monite.takeAway(old)
	began := time.Now()
	s.waitFor("the new pair to be live", func() bool {
		_ = actAs(http.DefaultTransport, s.Data, monitetest.DemoStudioUserID, false)
		return s.credentials().NewPair == "none"
	})
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("live after %v, want a second or so", took)
	}
	if err := actAs(http.DefaultTransport, s.Data, monitetest.DemoStudioUserID, false); err != nil {
		t.Error(err)
	}
}

// The two files are written one after the other, with a pause between: the
// mixture is never used for anybody's token.
func TestFilesWrittenOneAfterTheOtherAreNotMixed(t *testing.T) {
	t.Parallel()
	monite, url := newRevoker(t)
	directory := t.TempDir()
	for _, pair := range []string{"id-1 secret-1", "id-2 secret-2"} {
		monite.allow(pair, true)
	}
	monite.allow("id-2 secret-1", false)
	writeFile(t, directory+"/id", "id-1")
	writeFile(t, directory+"/secret", "secret-1")
	s := start(t, pairEnv(url, directory)).ready()
	writeFile(t, directory+"/id", "id-2")
	s.waitFor("the proof of the mixture", func() bool { return s.credentials().NewPair == "refused" })
	if err := actAs(http.DefaultTransport, s.Data, monitetest.DemoEntityUserID, true); err != nil {
		t.Error(err)
	}
	writeFile(t, directory+"/secret", "secret-2")
	s.waitFor("the new pair to be live", func() bool { return s.credentials().NewPair == "none" && monite.has("id-2 secret-2") })
	if got := monite.refusals("id-2 secret-1"); got > 2 {
		t.Errorf("the mixture was tried %d times", got)
	}
}
