package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

// Where a body ends is no news to whoever reads it in one piece with its end, and a
// surprise to whoever does not. Both have read the same body.
func TestLengthOfABodyDoesNotDependOnHowItArrives(t *testing.T) {
	for _, kept := range []int{0, 1024, writes.HeadBytes - 1, writes.HeadBytes, 2 * writes.HeadBytes} {
		for _, size := range []int{1, writes.HeadBytes - 1, writes.HeadBytes, writes.HeadBytes + 1, writes.HeadBytes + 2, 2*writes.HeadBytes + 1} {
			var seen []string
			for _, early := range []bool{true, false} {
				var from io.Reader = strings.NewReader(strings.Repeat("z", size))
				if early {
					from = iotest.DataErrReader(from)
				}
				s := &streamedBody{body: from, control: http.NewResponseController(noDeadlines{}), left: 1 << 20}
				if kept > 0 {
					if _, err := s.look(kept + 1); err != nil {
						t.Fatal(err)
					}
				}
				length, head, err := (&requestBody{stream: s, length: -1}).look(writes.HeadBytes)
				if err != nil || len(head) != min(size, writes.HeadBytes) {
					t.Errorf("%d bytes to look at, %v", len(head), err)
				}
				seen = append(seen, fmt.Sprint(length))
			}
			if seen[0] != seen[1] {
				t.Errorf("%d bytes, %d kept: the length is %s with the end, %s without", size, kept, seen[0], seen[1])
			}
		}
	}
}

// noDeadlines is a response writer of which only the deadlines are used.
type noDeadlines struct{ http.ResponseWriter }

// What is said of a write is what docs/errors.md says; of a read nothing is.
func TestOutcomeOfEachStatusOfUpstream(t *testing.T) {
	for status := range 600 {
		unknown := status == 500 || status == 502 || status == 504 || status >= 520 && status <= 527
		certain := status < 500 || status == 501 || status == 503 || status == 505
		if doubt := verdictOn(status) == doubtful; unknown && !doubt || certain && doubt {
			t.Errorf("%d: in doubt is %v", status, doubt)
		}
	}
}

func TestReplayedResponseSaysItsLength(t *testing.T) {
	r, f := newRepeatRig(t)
	first, _ := r.do("POST", "/v1/payables", "{}", headerKey, "k")
	again, _ := r.do("POST", "/v1/payables", "{}", headerKey, "k")
	if again.Header.Get(headerReplayed) != "true" || again.ContentLength != first.ContentLength || first.ContentLength <= 0 {
		t.Errorf("the length is %d, was %d: %v", again.ContentLength, first.ContentLength, again.Header)
	}
	f.wants(t, 1)
}
