package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestReloadsUnderLoad changes the identities file E2E_RELOADS times, while apps
// call by every way that stays. Each change must take effect, and no request of
// the apps may fail or be sent as somebody else.
func TestReloadsUnderLoad(t *testing.T) {
	reloads := 40
	if text := os.Getenv("E2E_RELOADS"); text != "" {
		reloads, _ = strconv.Atoi(text)
	}
	w := &witness{minted: map[string]int{}}
	url := w.serve(t)
	directory := shortDir(t)
	path, stays, comes := filepath.Join(directory, "identities.yaml"), freePort(t), [2]string{freePort(t), freePort(t)}
	write := func(round int) {
		t.Helper()
		text := fmt.Sprintf(spell(`identities:
  - {name: stays, grant_type: entity_user, entity_user_id: U1, entity_id: E1, path_prefix: /as/stays, listen_addr: "%s"}
  - {name: shop, grant_type: client_credentials, entity_id: E2, path_prefix: /as/shop-%d}
  - {name: extra-%d, grant_type: client_credentials, entity_id: E3, path_prefix: /extra/%d, listen_addr: "%s"}
`), stays, round, round, round, comes[round%2])
		writeFile(t, path+".new", text)
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	s := start(t, defaultEnv(url).with("MONITE_IDENTITIES_FILE", path, "MONITE_ENTITY_ID", shortIDs["E1"])).ready()

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var load sync.WaitGroup
	var sent, wrong atomic.Int64
	app := func(base, path, name, want string) {
		load.Go(func() {
			client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				in, _ := http.NewRequest("GET", base+path, nil)
				if name != "" {
					in.Header.Set("X-Monite-Identity", name)
				}
				sent.Add(1)
				response, err := client.Do(in)
				if err != nil {
					wrong.Add(1)
					t.Errorf("%s%s as %q: %v", base, path, name, err)
					return
				}
				text, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || string(text) != want {
					wrong.Add(1)
					t.Errorf("%s%s as %q: %d %s, %v, want %s", base, path, name, response.StatusCode, text, err, want)
					return
				}
				time.Sleep(time.Millisecond) // two cores
			}
		})
	}
	app(s.Data, "/v1/payables", "", spell("cc/E1 /v1/payables"))
	app(s.Data, "/v1/payables", "stays", spell("U1/E1 /v1/payables"))
	app(s.Data, "/v1/payables", "shop", spell("cc/E2 /v1/payables"))
	app(s.Data, "/as/stays/v1/payables", "", spell("U1/E1 /v1/payables"))
	app("http://"+stays, "/v1/payables", "", spell("U1/E1 /v1/payables"))

	begin := time.Now()
	for round := 1; round <= reloads && !t.Failed(); round++ {
		write(round)
		s.signal(syscall.SIGHUP)
		extra := fmt.Sprintf("extra-%d", round)
		s.waitFor(extra, func() bool {
			a := s.mustCall("GET", "/v1/payables", "", "X-Monite-Identity", extra)
			return a.Status == 200 && a.Body == spell("cc/E3 /v1/payables")
		})
		if a, err := request(context.Background(), "GET", "http://"+comes[round%2]+"/v1/payables", ""); err != nil || a.Body != spell("cc/E3 /v1/payables") {
			t.Errorf("round %d, new listener: %s, %v", round, a.Body, err)
		}
		for _, gone := range []string{fmt.Sprintf("/extra/%d/v1/payables", round-1), fmt.Sprintf("/as/shop-%d/v1/payables", round-1)} {
			if a := s.mustCall("GET", gone, ""); a.Status != 403 {
				t.Errorf("round %d: %s = %d %s", round, gone, a.Status, a.Body)
			}
		}
	}
	took := time.Since(begin)
	stop()
	load.Wait()
	t.Logf("%d reloads in %v, %d requests of apps, %d failed", reloads, took.Round(time.Millisecond), sent.Load(), wrong.Load())
	// The last one is counted when the listener that it removed is closed.
	s.waitFor("the count of all reloads", func() bool {
		return s.metricValue(`monite_proxy_identity_reloads_total{result="ok"}`) == float64(reloads)
	})
	if got := s.metricValue(`monite_proxy_identity_reloads_total{result="failed"}`); got != 0 {
		t.Errorf("%v failed reloads are counted", got)
	}
	if s.loggedNow("the old identities stay") {
		t.Error("a reload failed")
	}
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(10 * time.Second); code != 0 {
		t.Errorf("exit code = %d", code)
	}
}
