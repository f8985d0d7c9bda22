package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// A short string that is cut out of a request keeps all of the text that it was cut
// out of in memory, for as long as somebody keeps the string. So each place that
// keeps something of a request when the request is over is filled here with hundreds of
// heads of 24 KB, with LONG of 62 KB, and the heap is measured.
func TestWhatOutlivesARequestKeepsNoHead(t *testing.T) {
	requests := wiretest.Sized[int64](250, 1000)
	for name, c := range map[string]struct {
		settings []string
		request  func(i int) (method, target string, fields []string)
		answer   http.HandlerFunc
		most     int // bytes for each request
	}{
		"tokens of entity users": {
			settings: []string{"MONITE_ALLOWED_ENTITY_USER_IDS", "*", "MONITE_MAX_MINTS_PER_SECOND", "10000"},
			request: func(i int) (string, string, []string) {
				return "GET", "/v1/payables", []string{fmt.Sprintf("X-Monite-Entity-User-Id: aaaaaaaa-0000-4000-8000-%012d", i)}
			},
			most: 4 << 10,
		},
		"entity users whose mint fails": {
			settings: []string{"MONITE_ALLOWED_ENTITY_USER_IDS", "*", "MONITE_MAX_MINTS_PER_SECOND", "10000", "MONITE_HOLD_TIMEOUT", "1ms"},
			request: func(i int) (string, string, []string) {
				return "GET", "/v1/payables", []string{fmt.Sprintf("X-Monite-Entity-User-Id: aaaaaaaa-0000-4000-8000-%012d", i)}
			},
			answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
			most:   4 << 10,
		},
		"history and metrics": {
			request: func(i int) (string, string, []string) {
				return []string{"GET", "HEAD", "BREW"}[i%3], "/v1/payables", []string{fmt.Sprintf("X-Request-Id: request-%d", i)}
			},
			most: 2 << 10,
		},
		"spans that wait for the collector": {
			settings: []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9", "OTEL_BSP_MAX_QUEUE_SIZE", "4096", "OTEL_TRACES_SAMPLER", "always_on"},
			request: func(i int) (string, string, []string) {
				return "GET", "/v1/payables", []string{fmt.Sprintf("Traceparent: 00-%032x-%016x-01", i+1, i+1), "Tracestate: a=b", fmt.Sprintf("X-Request-Id: r%d", i)}
			},
			most: 12 << 10, // three spans of the SDK
		},
		"answered writes with a key": {
			request: func(i int) (string, string, []string) {
				return "POST", "/v1/payables", []string{fmt.Sprintf("Idempotency-Key: key-%d", i), fmt.Sprintf("X-Request-Id: r%d", i)}
			},
			most: 4 << 10,
		},
		"writes of unknown outcome": {
			settings: []string{"MONITE_ALLOWED_ENTITY_IDS", "*"},
			request: func(i int) (string, string, []string) {
				return "POST", fmt.Sprintf("/v1/payables/aaaaaaaa-0000-4000-8000-%012d/cancel", i),
					[]string{fmt.Sprintf("X-Request-Id: r%d", i), fmt.Sprintf("X-Monite-Entity-Id: aaaaaaaa-0000-4000-8000-%012d", i)}
			},
			answer: func(w http.ResponseWriter, in *http.Request) {
				if in.URL.Path == "/v1/auth/token" {
					mint(w, in)
					return
				}
				w.WriteHeader(http.StatusInternalServerError)
			},
			most: 4 << 10,
		},
		"writes that name an earlier one": {
			request: func(i int) (string, string, []string) {
				return "POST", "/v1/payables", []string{fmt.Sprintf("X-Monite-Proxy-Repeat: r%d", i), fmt.Sprintf("Idempotency-Key: key-%d", i)}
			},
			most: 4 << 10,
		},
		"codings that were narrowed": {
			request: func(i int) (string, string, []string) {
				return "GET", "/v1/payables", []string{fmt.Sprintf("Accept-Encoding: br, gzip;q=0.%d", i+1)}
			},
			most: 2 << 10,
		},
		"names that are unknown": {
			request: func(i int) (string, string, []string) {
				return "GET", "/v1/payables", []string{fmt.Sprintf("X-Monite-Identity: nobody-%d", i)}
			},
			most: 2 << 10,
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer := c.answer
			if answer == nil {
				answer = mint
			}
			upstream := httptest.NewServer(answer)
			defer upstream.Close()
			s, _, _ := newTestSidecar(t, append([]string{"MONITE_CLIENT_SECRET", "secret", "MONITE_API_URL", upstream.URL}, c.settings...)...)
			s.pauses.collect = func() {} // 5 s later another test would find a collection that is not its own
			ctx, stop := context.WithCancel(t.Context())
			ran := make(chan error, 1)
			go func() { ran <- s.cache.Run(ctx) }()
			defer func() { stop(); <-ran }()
			on := wiretest.Loopback(t)
			go func() { _ = s.data.server.Serve(on) }()
			defer func() { _ = s.data.server.Close() }()

			app := &app{t: t, address: on.Addr().String()}
			for i := range 10 { // pools and tables are warm
				app.send(c.request(i))
			}
			before := heap()
			for i := range int(requests) {
				app.send(c.request(10 + i))
			}
			each := (heap() - before) / requests
			t.Logf("%d bytes are kept of each request", each)
			if each > int64(c.most) {
				t.Errorf("%d bytes are kept of each request, more than %d", each, c.most)
			}
			runtime.KeepAlive(s)
		})
	}
}

// app sends one request after the other.
type app struct {
	t       *testing.T
	address string
	conn    net.Conn // nil: there is none
	reader  *bufio.Reader
}

// send sends a large head, with LONG the largest that is accepted: a query and one field.
func (a *app) send(method, target string, fields []string) {
	a.t.Helper()
	if a.conn == nil {
		conn, err := net.Dial("tcp", a.address)
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { _ = conn.Close() })
		a.conn, a.reader = conn, bufio.NewReader(conn)
	}
	if method == http.MethodPost {
		fields = append(fields, "Content-Length: 0")
	}
	_ = a.conn.SetDeadline(time.Now().Add(time.Minute))
	_, err := fmt.Fprintf(a.conn, "%s %s?note=%s HTTP/1.1\r\nHost: localhost\r\n%s\r\nX-Padding: %s\r\n\r\n",
		method, target, strings.Repeat("n", wiretest.Sized(7_000, 14_000)), strings.Join(fields, "\r\n"), strings.Repeat("x", wiretest.Sized(17_000, 47_000)))
	if err != nil {
		a.t.Fatal(err)
	}
	response, err := http.ReadResponse(a.reader, &http.Request{Method: method})
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		a.t.Fatal(err)
	}
	if response.Close {
		_ = a.conn.Close()
		a.conn = nil
	}
}

// mint is an upstream that has a token for everybody, and {} for every request.
func mint(w http.ResponseWriter, in *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if in.URL.Path == "/v1/auth/token" {
		_, _ = io.WriteString(w, `{"access_token":"a-token","token_type":"Bearer","expires_in":3600}`)
		return
	}
	_, _ = io.WriteString(w, "{}")
}

func heap() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}
