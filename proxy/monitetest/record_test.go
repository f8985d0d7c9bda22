package monitetest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestRecordShowsWhatArrived(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := with(b.as(monitetest.DemoEntityUserID, monitetest.DemoEntityID), "X-Odd", "ü")
	target := "/v1/payables?a=%2f%2F;b&b=1+1&&c"
	body := `{"description":"x"}`
	b.want(200, "POST", target, body, header)
	r, ok := b.sim.LastRequest()
	sum := sha256.Sum256([]byte(body))
	if !ok || r.Method != "POST" || r.Target != target || r.ContentLength != int64(len(body)) || r.TransferEncoding != nil ||
		r.BodyLength != int64(len(body)) || r.BodySHA256 != hex.EncodeToString(sum[:]) || !r.BodyRead || !r.Executed || !r.Done ||
		r.Grant != "entity_user" || r.EntityUserID != monitetest.DemoEntityUserID || r.Status != 200 || r.Route != "POST /v1/payables" ||
		r.Header.Get("X-Odd") != "ü" || r.Header.Get("Authorization") != header["Authorization"] || r.Proto != "HTTP/1.1" {
		t.Errorf("record = %+v", r)
	}
}

func TestRecordShowsChunkedFramingAndTrailers(t *testing.T) {
	b := start(t, monitetest.Config{})
	r := b.request("POST", "/v1/payables", "", b.as("", monitetest.DemoEntityID))
	r.Header.Set("Content-Type", "application/json")
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), -1
	r.Trailer = http.Header{"X-Late": {"1"}}
	if answer, err := b.try(r); err != nil || answer.status != 200 {
		t.Fatalf("= %d %s, %v", answer.status, answer.body, err)
	}
	got, _ := b.sim.LastRequest()
	if got.ContentLength != -1 || fmt.Sprint(got.TransferEncoding) != "[chunked]" || got.BodyLength != 2 || got.Trailer.Get("X-Late") != "1" {
		t.Errorf("record = %+v, want chunked with a trailer", got)
	}
}

func TestBodyIsHashedAlsoWhenTheTokenIsRefused(t *testing.T) {
	b := start(t, monitetest.Config{})
	b.want(401, "POST", "/v1/payables", `{"a":1}`, nil)
	if r, _ := b.sim.LastRequest(); r.BodyLength != 7 || !r.BodyRead || r.Executed {
		t.Errorf("record = %+v, want the whole body and nothing executed", r)
	}
}

func TestRingKeepsTheLatest(t *testing.T) {
	b := start(t, monitetest.Config{KeepRequests: 3})
	for i := range 20 {
		b.do("GET", fmt.Sprintf("/v1/x?n=%d", i), "", nil)
		var targets []string
		for _, r := range b.sim.Requests() {
			if !r.Done {
				t.Errorf("after request %d one is not done: %+v", i, r)
			}
			targets = append(targets, r.Target[len("/v1/x?n="):])
		}
		var want []string
		for n := max(0, i-2); n <= i; n++ {
			want = append(want, fmt.Sprint(n))
		}
		if fmt.Sprint(targets) != fmt.Sprint(want) {
			t.Fatalf("after request %d kept %v, want %v", i, targets, want)
		}
	}
	b.sim.ResetStats()
	if got := b.sim.Requests(); len(got) != 0 {
		t.Errorf("after ResetStats kept %d", len(got))
	}
	none := start(t, monitetest.Config{KeepRequests: -1})
	none.do("GET", "/v1/x", "", nil)
	if _, ok := none.sim.LastRequest(); ok {
		t.Error("KeepRequests below zero keeps requests")
	}
}

// A request that ends after its entry has left the ring must not write over
// the entry of another.
func TestLateRequestDoesNotOverwriteRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := monitetest.New(monitetest.Config{KeepRequests: 3})
		call := func(target string) { sim.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", target, nil)) }
		sim.Inject(monitetest.Fault{Path: "/slow", Delay: monitetest.Duration(time.Minute)})
		var wg sync.WaitGroup
		call("/quick0") // the slow one is the second entry, where the ring begins after its move
		wg.Go(func() { call("/slow") })
		synctest.Wait()
		for i := range 5 {
			call(fmt.Sprint("/quick", 1+i))
		}
		wg.Wait()
		for i, r := range sim.Requests() {
			if want := fmt.Sprint("/quick", 3+i); r.Target != want {
				t.Errorf("entry %d = %s, want %s", i, r.Target, want)
			}
		}
	})
}

func TestLedgerCountsExecutedWritesPerNonce(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	tests := []struct {
		name, method, target, body string
		header                     map[string]string
		executed                   int
	}{
		{"a write", "POST", "/v1/payables", "{}", nil, 1},
		{"a generic write", "POST", "/v1/tags", `{"name":"x"}`, nil, 1},
		{"an action", "POST", approve, "", nil, 1},
		{"a setting", "PUT", "/v1/payables/validations", `{"required_fields":["currency"]}`, nil, 1},
		{"a read", "GET", "/v1/payables", "", nil, 0},
		{"a search", "POST", "/v1/receivables/search", "{}", nil, 0},
		{"a conflict", "POST", approve, "", nil, 0},
		{"an unknown id", "POST", "/v1/payables/" + nobody + "/cancel", "", nil, 0},
		{"a bad body", "POST", "/v1/payables", "[]", nil, 0},
		{"a bad token", "POST", "/v1/payables", "{}", map[string]string{"Authorization": "Bearer x"}, 0},
		{"a bad entity", "POST", "/v1/payables", "{}", map[string]string{"X-Monite-Entity-Id": nobody}, 0},
	}
	for i, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			nonce := fmt.Sprint("n", i)
			joint := "?"
			for name, value := range tc.header {
				header = with(header, name, value)
			}
			b.do(tc.method, tc.target+joint+"sim_nonce="+nonce, tc.body, header)
			stats := b.sim.Stats()
			if stats.Executed[nonce] != tc.executed || stats.Arrived[nonce] != 1 {
				t.Errorf("executed, arrived = %d, %d, want %d, 1", stats.Executed[nonce], stats.Arrived[nonce], tc.executed)
			}
			for name := range tc.header {
				header = with(header, name, map[string]string{"Authorization": "Bearer " + b.token(""), "X-Monite-Entity-Id": monitetest.DemoEntityID}[name])
			}
		})
	}
}

func TestStatsCountRoutesAndAnswers(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	b.do("GET", "/v1/payables/"+monitetest.DemoPayableID, "", header)
	b.do("GET", "/v1/payables/"+nobody, "", header)
	b.do("GET", "/v1/unicorns", "", header)
	stats := b.sim.Stats()
	if stats.Requests["GET /v1/payables/{payable_id}"] != 2 || stats.Requests["unmatched"] != 1 ||
		stats.Answers["200"] != 2 || stats.Answers["404"] != 2 || stats.InFlight != 0 {
		t.Errorf("stats = %+v", stats)
	}
	b.sim.ResetStats()
	if stats := b.sim.Stats(); len(stats.Requests) != 0 || stats.LiveTokens != 1 {
		t.Errorf("after ResetStats = %+v, want only the live token", stats)
	}
}

func TestManyAtOnceDoNotSerialise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := inMemory{monitetest.New(monitetest.Config{Latency: time.Second})}
		token := m.mint(mintBody(""))
		began := time.Now()
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() { m.get(token) })
		}
		wg.Go(func() { m.mint(mintBody("")) })
		wg.Go(func() { m.mint(mintBody("")) })
		synctest.Wait()
		if got := m.sim.Stats().InFlight; got != 502 {
			t.Errorf("in flight = %d, want 502", got)
		}
		wg.Wait()
		if took := time.Since(began); took != time.Second {
			t.Errorf("502 requests of 1s took %v together, want 1s", took)
		}
		if got := m.sim.Stats().MintsInFlightPeak; got != 2 {
			t.Errorf("peak of mints = %d, want 2", got)
		}
	})
}
