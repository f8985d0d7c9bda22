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
