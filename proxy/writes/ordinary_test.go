package writes

import (
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// Equal writes without any fault, from apps that have their responses: each is sent.
//
//	ORDINARY_WRITES=n  of them; 20,000 if not set, or 1,000,000 with LONG
func TestOrdinaryWritesAreNeverRefused(t *testing.T) {
	most := wiretest.Number(t, "ORDINARY_WRITES", wiretest.Sized(20_000, 1_000_000))
	const apps = 8
	j := New(Config{Guard: 10 * time.Minute, KeyTTL: 24 * time.Hour, Patience: time.Minute})
	var all sync.WaitGroup
	for app := range apps {
		all.Go(func() {
			for n := range most / apps {
				body := []byte(`{"amount":1250}`)
				w := &Write{Request: Request{GrantType: "client_credentials", Method: "POST", Target: "/v1/payables", Length: int64(len(body)), Head: body}, RequestID: "r"}
				d := j.Begin(t.Context(), w)
				if d.Verdict != Send {
					t.Errorf("write %d of app %d: verdict %d", n, app, d.Verdict)
					return
				}
				d.Claim.Answered(201, &Response{Status: 201})
				if n%2 == 0 { // the connection is kept
					d.Claim.Written(func() bool { return true })
				}
				d.Claim.Delivered(true)
			}
		})
	}
	all.Wait()
	if stats := j.Stats(); stats.Records != 0 {
		t.Errorf("%d records are left", stats.Records)
	}
}
