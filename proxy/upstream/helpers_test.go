package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestMain(m *testing.M) {
	wiretest.ManyAtOnce(4)
	goleak.VerifyTestMain(m)
}

const okEmpty = wiretest.OKEmpty

var okBody = wiretest.OK

func transport(t testing.TB, o *wiretest.Origin, change ...func(*Transport)) *Transport {
	t.Helper()
	tr := &Transport{Origin: o.URL}
	for _, f := range change {
		f(tr)
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if s := tr.Stats(); s.Open != 0 || s.Waiting != 0 {
			t.Errorf("Stats() = %+v at the end, want nothing open and nobody waiting", s)
		}
	})
	return tr
}

// memBody is a body in memory that counts its Close calls.
type memBody struct {
	*bytes.Reader
	closed atomic.Int64
}

func (b *memBody) Close() error { b.closed.Add(1); return nil }

// streamBody is any reader as a streamed body.
type streamBody struct {
	io.Reader
	closed atomic.Int64
}

func (b *streamBody) Close() error {
	defer b.closed.Add(1) // last: whoever waits for it goes on then
	if c, ok := b.Reader.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func mem(s string) *memBody { return &memBody{Reader: bytes.NewReader([]byte(s))} }

func stream(s string) *streamBody {
	return &streamBody{Reader: struct{ io.Reader }{bytes.NewReader([]byte(s))}}
}

func newRequest(ctx context.Context, o *wiretest.Origin, method, path string, body io.ReadCloser, length int64) *http.Request {
	u := *o.URL
	u.Path = path
	return (&http.Request{
		Method: method, URL: &u, Header: http.Header{}, Body: body, ContentLength: length,
	}).WithContext(ctx)
}

func get(t testing.TB, o *wiretest.Origin) *http.Request {
	return newRequest(t.Context(), o, http.MethodGet, "/v1/x", nil, 0)
}

// do sends req and reads the answer to its end.
func do(tr *Transport, req *http.Request) (*http.Response, string, error) {
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(resp.Body)
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	return resp, string(body), err
}

func mustDo(t testing.TB, tr *Transport, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, body, err := do(tr, req)
	if err != nil {
		t.Fatalf("round trip: %v", err)
	}
	return resp, body
}

func wantError(t testing.TB, err error, op Op, outcome Outcome) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("err = %v (%T), want an *Error", err, err)
	}
	if e.Op != op || e.Outcome != outcome {
		t.Fatalf("err = %v, want %s (%s)", e, op, outcome)
	}
	return e
}

func bytesOf(n int) *bytes.Reader { return bytes.NewReader(bytes.Repeat([]byte("x"), n)) }
