package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func uploadTo(t *testing.T, handler http.HandlerFunc) *upload {
	t.Helper()
	server := httptest.NewServer(handler)
	at, err := url.Parse(server.URL + "/v1/traces")
	wiretest.Must(t, err)
	c := testConfig()
	c.Endpoint, c.Headers = at, []secret.Pair{{Name: "api-key", Value: secret.New("CANARY")}}
	u := newUpload(c)
	t.Cleanup(func() {
		u.client.CloseIdleConnections()
		server.Close()
	})
	return u
}

func (u *upload) try(t *testing.T, within time.Duration) error {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return u.UploadTraces(ctx, []*tracepb.ResourceSpans{{SchemaUrl: "one"}})
}

func TestUploadIsAnExportTraceServiceRequest(t *testing.T) {
	u := uploadTo(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var got tracepb.TracesData
		if err := proto.Unmarshal(body, &got); err != nil || len(got.ResourceSpans) != 1 || got.ResourceSpans[0].SchemaUrl != "one" {
			t.Errorf("body %q, %v", body, err)
		}
		if r.Method != "POST" || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" ||
			r.Header.Get("Api-Key") != "CANARY" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
	})
	if err := u.try(t, patience); err != nil {
		t.Error(err)
	}
}

const patience = 10 * time.Second

func TestUploadIsTriedAgainWhereThatCanHelp(t *testing.T) {
	for status, again := range map[int]bool{429: true, 502: true, 503: true, 504: true, 400: false, 401: false, 500: false} {
		var calls atomic.Int64
		u := uploadTo(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) == 1 {
				w.WriteHeader(status)
			}
		})
		err := u.try(t, patience)
		if (err == nil) != again || (calls.Load() == 2) != again {
			t.Errorf("%d: %v after %d tries, want again %v", status, err, calls.Load(), again)
		}
	}
}

func TestUploadDoesNotOutliveItsTime(t *testing.T) {
	u := uploadTo(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	before := time.Now()
	if err := u.try(t, patience); err == nil || time.Since(before) > patience/2 {
		t.Errorf("%v after %v: want an error at once, because the collector asks for more time than there is", err, time.Since(before))
	}
	u = uploadTo(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client leaves
		<-r.Context().Done()
	})
	if err := u.try(t, 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a hanging collector: %v", err)
	}
}

func TestUploadFollowsNoRedirectAndNoProxyFromTheEnvironment(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	t.Setenv("HTTP_PROXY", other.URL)
	t.Setenv("HTTPS_PROXY", other.URL)
	u := uploadTo(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	err := u.try(t, patience)
	if err == nil || elsewhere.Load() != 0 {
		t.Errorf("%v with %d requests elsewhere, want an error and none", err, elsewhere.Load())
	}
	u.config.Endpoint = &url.URL{Scheme: "http", Host: "collector.invalid", Path: "/secret-path"}
	if err := u.try(t, 100*time.Millisecond); err == nil || elsewhere.Load() != 0 || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("%v with %d requests elsewhere, want an error without the URL", err, elsewhere.Load())
	}
}

func TestSpansThatTheCollectorThrewAwayAreCounted(t *testing.T) {
	partial := protowire.AppendTag(nil, 2, protowire.BytesType) // error_message
	partial = protowire.AppendString(partial, "too old")
	partial = protowire.AppendTag(partial, 1, protowire.VarintType)
	partial = protowire.AppendVarint(partial, 7)
	answer := protowire.AppendTag(nil, 1, protowire.BytesType)
	answer = protowire.AppendBytes(answer, partial)
	u := uploadTo(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) })
	if err := u.try(t, patience); err != nil || u.rejected.Load() != 7 {
		t.Errorf("%v, %d spans rejected, want 7", err, u.rejected.Load())
	}
	for _, odd := range []string{"", "{}", "\x0a", "\x0a\xff", "\x0a\x02\x08\xff", "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if got := rejectedSpans([]byte(odd)); got != 0 {
			t.Errorf("rejectedSpans(%q) = %d", odd, got)
		}
	}
}

// net/http's errors quote the URL, the address of a forward proxy and what the peer
// has sent: at some vendors the key is in the path, and a peer may send back
// everything that it got.
func TestTroubleIsToldInFixedTexts(t *testing.T) {
	raw := func(respond string) string {
		l := wiretest.Loopback(t)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, respond)
				_ = conn.Close()
			}
		}()
		return l.Addr().String()
	}
	proxied := func(address string) func(*http.Request) (*url.URL, error) {
		return func(*http.Request) (*url.URL, error) { return url.Parse("http://user:CANARY@" + address) }
	}
	for name, tc := range map[string]struct {
		endpoint string
		proxy    func(*http.Request) (*url.URL, error)
	}{
		"a malformed status line": {"http://" + raw("CANARY\r\n\r\n"), nil},
		"a malformed status":      {"http://" + raw("HTTP/1.1 CANARY CANARY\r\n\r\n"), nil},
		"a malformed field":       {"http://" + raw("HTTP/1.1 200 OK\r\nCANARY\r\n\r\n"), nil},
		"a malformed length":      {"http://" + raw("HTTP/1.1 200 OK\r\nContent-Length: CANARY\r\n\r\n"), nil},
		"a malformed coding":      {"http://" + raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: CANARY\r\n\r\n"), nil},
		"nothing":                 {"http://" + raw(""), nil},
		"no TLS":                  {"https://" + raw("HTTP/1.1 400 CANARY\r\n\r\n"), nil},
		"nobody listens":          {"http://127.0.0.1:1", nil},
		"a proxy that refuses":    {"https://collector.invalid", proxied(raw("HTTP/1.1 407 CANARY\r\nX: CANARY\r\n\r\n"))},
		"a proxy without HTTP":    {"https://collector.invalid", proxied(raw("CANARY\r\n\r\n"))},
		"no proxy listens":        {"https://collector.invalid", proxied("127.0.0.1:1")},
		"a proxy that no URL is":  {"https://collector.invalid", func(*http.Request) (*url.URL, error) { return url.Parse(fmt.Sprint("http://user:CANARY", "%sure@x")) }},
	} {
		at, err := url.Parse(tc.endpoint + "/CANARY/v1/traces")
		wiretest.Must(t, err)
		c := testConfig()
		c.Endpoint, c.Proxy = at, tc.proxy
		u := newUpload(c)
		err = u.try(t, 200*time.Millisecond)
		u.client.CloseIdleConnections()
		if err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
}
