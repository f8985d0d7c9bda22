package proxy

import (
	"net/http"
	"strings"
	"testing"
)

// An app whose base URL lacks /v1 gets a hint, and nothing is minted or sent.
func TestOnlyPathsUnderV1AreForwarded(t *testing.T) {
	o := listen(t, answering(okEmpty))
	r := newRig(t, o.url, withPeople)
	for _, path := range []string{"/", "/payables", "/v1", "/v10/payables", "/v2/payables", "/V1/payables", "/metrics", "/v1payables", "/as/billing/payables", "/shop/v1", "/%761/payables"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			response, text := r.do(method, path, "")
			checkOurs(t, response, text, &problemNotForwarded, NotSent, "")
			if !strings.Contains(text, "/v1") {
				t.Errorf("%s %s: no hint in %s", method, path, text)
			}
		}
	}
	if asked, _, _ := r.tokens.counts(); asked != 0 || o.accepted.Load() != 0 {
		t.Errorf("%d tokens asked for, %d connections", asked, o.accepted.Load())
	}
	for _, path := range []string{"/v1/", "/v1/payables", "/v1/nothing/published", "/as/billing/v1/payables", "/shop/v1/"} {
		if response, text := r.do("GET", path, ""); response.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, response.StatusCode, text)
		}
	}
}
