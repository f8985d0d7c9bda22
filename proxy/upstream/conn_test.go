package upstream

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// names lists the fields of a struct.
func names(v any) (all []string) {
	for field := range reflect.TypeOf(v).Fields() {
		all = append(all, field.Name)
	}
	return all
}

// Whatever a request leaves behind, the next one on the connection does not
// see it. A new field goes into one of the two lists, and is then poisoned here
// or explained.
func TestWhatARequestLeavesBehindIsReset(t *testing.T) {
	ofConnection := map[string][]string{
		"conn": {"wire", "nc", "tlsState", "live", "retire", "idleFrom", "since", "served", "urgent", "ahead", "made", "keptFor"},
		// sawEOF comes with a readErr, which costs the connection; probing is false between two looks.
		"wire": {"Conn", "stream", "closed", "written", "progress", "writeBy", "mu", "readBy", "sawEOF", "probing", "waiting"},
	}
	ofRequest := map[string][]string{
		"conn": {"buf", "r", "w", "headLeft", "readErr", "fields", "spelt"},
		"wire": {"now", "inBody", "follow"},
	}
	for kind, got := range map[string][]string{"conn": names(conn{}), "wire": names(wire{})} {
		want := slices.Concat(ofConnection[kind], ofRequest[kind])
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Fatalf("fields of %s = %v, this test knows %v", kind, got, want)
		}
	}
	for _, method := range []string{"GET", "HEAD"} {
		o := wiretest.Listen(t, ca().Server(),
			wiretest.Answering("HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"))
		if method == "HEAD" {
			o = wiretest.Listen(t, ca().Server(), wiretest.Answering("HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 5\r\n\r\n"))
		}
		tr := transport(t, o, trusting)
		for range 3 {
			resp, body := mustDo(t, tr, newRequest(t.Context(), o, method, "/", nil, 0))
			if len(resp.Header) > 2 || resp.Header.Get("X-A") != "b" || method == "GET" && (body != "hello" || resp.Trailer.Get("X-T") != "1") {
				t.Errorf("%s: header %v, trailer %v, body %q", method, resp.Header, resp.Trailer, body)
			}
			c := tr.pool.idle[0]
			copy(c.buf, strings.Repeat("HTTP/1.1 200 OK\r\nX-A: poison\r\n", readBuffer))
			c.r, c.w = 30, 700
			c.headLeft = -1
			c.readErr = errStopped
			c.fields = append(c.fields, field{1, 2, 3, 4})
			c.spelt = append(c.spelt, "X-A:poison\n"...)
			c.wire.now = time.Unix(0, 0)
			c.wire.inBody = true
			c.wire.follow = follow{wanted: true, whole: true, over: true}
		}
		if n := o.Accepted.Load(); n != 1 {
			t.Errorf("%s: connections = %d, want 1", method, n)
		}
	}
}

// plain looks at eight bytes at a time: every byte at every place, beside every
// other byte that a borrow could come from or go to.
func TestPlainIsWhatAFieldValueMayHold(t *testing.T) {
	for length := range 18 {
		for at := range length {
			for b := range 256 {
				for _, other := range []byte{'a', '\t', ' ', 0x1f, 0x20, 0x7e, 0x7f, 0x80, 0x9f, 0xa0, 0xff} {
					value := []byte(strings.Repeat(string([]byte{other}), length))
					value[at] = byte(b)
					if got, want := plain(value), httpguts.ValidHeaderFieldValue(string(value)); got != want {
						t.Fatalf("plain(%q) = %v, want %v", value, got, want)
					}
				}
			}
		}
	}
}
