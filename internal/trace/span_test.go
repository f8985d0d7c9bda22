package trace

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/proxy"
)

const (
	appTrace = "0af7651916cd43dd8448eb211c80319c"
	appSpan  = "b7ad6b7169203331"
)

func testConfig() Config {
	return Config{
		Traces: config.Traces{
			QueueSize: 100, BatchSize: 10, BatchDelay: time.Second, Timeout: 10 * time.Second,
			ServiceName: "monite-proxy", Sampler: "parentbased_always_on", Ratio: 1,
		},
		Version: "v0", Upstream: &url.URL{Scheme: "https", Host: "api.monite.com"}, Log: zerolog.Nop(),
	}
}

func none() int64 { return 0 }

// exported runs what makes spans, and returns them in the order in which they ended.
func exported(t *testing.T, c Config, work func(*Traces)) tracetest.SpanStubs {
	t.Helper()
	memory := tracetest.NewInMemoryExporter()
	traces := newTraces(c, memory, none)
	work(traces)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = traces.Run(ctx) // the flush at the end
	return memory.GetSpans()
}

func begin(t *Traces, traceparent ...string) proxy.Span {
	return t.Begin(proxy.SpanStart{Traceparent: traceparent, Tracestate: []string{"vendor=1"}, Time: time.Now(), Method: "POST",
		Listener: "127.0.0.1:8080"})
}

func attributes(stub tracetest.SpanStub) string {
	var all []string
	for _, a := range stub.Attributes {
		all = append(all, fmt.Sprintf("%s=%s", a.Key, a.Value.String()))
	}
	return strings.Join(all, " ")
}

func TestSpansOfAReplayedRequest(t *testing.T) {
	spans := exported(t, testConfig(), func(traces *Traces) {
		span := begin(traces, "00-"+appTrace+"-"+appSpan+"-01")
		span.Waited(time.Now().Add(-time.Second), time.Now(), false)
		first := span.Attempt("POST", 0)
		if parent, state := first.Context(); !strings.HasPrefix(parent, "00-"+appTrace+"-") || strings.Contains(parent, appSpan) || state != "vendor=1" {
			t.Errorf("upstream gets %q, %q", parent, state)
		}
		first.End(401, "")
		span.Attempt("POST", 1).End(201, "")
		span.End(&proxy.Record{Method: "POST", Route: "/v1/payables", Status: 201, Origin: "upstream", GrantType: "client_credentials",
			Replay: "401", Start: time.Now(), Duration: time.Second})
	})
	var got []string
	for _, s := range spans {
		got = append(got, fmt.Sprint(s.Name, "|", s.SpanKind, "|", s.Status.Code, "|", attributes(s)))
	}
	client := "server.address=api.monite.com server.port=443 network.protocol.version=1.1 http.request.method=POST "
	want := []string{
		"token wait|internal|Unset|",
		"POST|client|Error|" + client + "http.response.status_code=401 error.type=401",
		"POST|client|Unset|" + client + "http.request.resend_count=1 http.response.status_code=201",
		"POST /v1/payables|server|Unset|http.request.method=POST url.scheme=http server.address=127.0.0.1 server.port=8080 http.route=/v1/payables " +
			"http.response.status_code=201 monite_proxy.origin=upstream monite_proxy.replay=401 monite_proxy.grant_type=client_credentials",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	request := spans[len(spans)-1]
	if request.SpanContext.TraceID().String() != appTrace || request.Parent.SpanID().String() != appSpan {
		t.Errorf("the request is %v under %v, want the app's", request.SpanContext.TraceID(), request.Parent.SpanID())
	}
	for _, s := range spans[:3] {
		if s.Parent.SpanID() != request.SpanContext.SpanID() || s.SpanContext.TraceID() != request.SpanContext.TraceID() {
			t.Errorf("%s is not under the request", s.Name)
		}
	}
}

func TestEndOfASpan(t *testing.T) {
	for name, tc := range map[string]struct {
		record proxy.Record
		want   string
	}{
		"our 503": {proxy.Record{Method: "GET", Route: "other", Status: 503, Origin: "proxy", ErrorType: "proxy_overloaded", Outcome: proxy.NotSent},
			"GET|Error|http.response.status_code=503 monite_proxy.origin=proxy monite_proxy.outcome=not_sent error.type=proxy_overloaded"},
		"a refusal": {proxy.Record{Method: "other", Route: "other", Status: 405, Origin: "proxy", ErrorType: "proxy_method_refused",
			Outcome: proxy.NotSent},
			"HTTP|Unset|http.response.status_code=405 monite_proxy.origin=proxy monite_proxy.outcome=not_sent error.type=proxy_method_refused"},
		"the app is gone": {proxy.Record{Method: "GET", Route: "other", Status: 499, Origin: "proxy", Outcome: proxy.Unknown},
			"GET|Unset|monite_proxy.origin=proxy monite_proxy.outcome=unknown error.type=client_gone"},
		"Monite's 500": {proxy.Record{Method: "GET", Route: "/v1/payables", Status: 500, Origin: "upstream"},
			"GET /v1/payables|Error|http.route=/v1/payables http.response.status_code=500 monite_proxy.origin=upstream error.type=500"},
		"cut off": {proxy.Record{Method: "GET", Route: "other", Status: 200, Origin: "upstream", Aborted: true},
			"GET|Error|http.response.status_code=200 monite_proxy.origin=upstream error.type=aborted"},
	} {
		spans := exported(t, testConfig(), func(traces *Traces) { begin(traces).End(&tc.record) })
		if len(spans) != 1 {
			t.Fatalf("%s: %d spans", name, len(spans))
		}
		_, rest, _ := strings.Cut(attributes(spans[0]), "server.port=8080 ")
		if got := fmt.Sprint(spans[0].Name, "|", spans[0].Status.Code, "|", rest); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestOnlyARightTraceparentIsAParent(t *testing.T) {
	good := "00-" + appTrace + "-" + appSpan + "-01"
	for _, values := range [][]string{nil, {good, good}, {"00-" + appTrace + "-" + appSpan}, {strings.ToUpper(good)},
		{"00-00000000000000000000000000000000-" + appSpan + "-01"}} {
		spans := exported(t, testConfig(), func(traces *Traces) {
			span := begin(traces, values...)
			if _, state := span.Attempt("GET", 0).Context(); state != "" {
				t.Errorf("%q: upstream gets the state %q of a trace that is not one", values, state)
			}
			span.End(&proxy.Record{})
		})
		if len(spans) != 1 || spans[0].Parent.IsValid() || spans[0].SpanContext.TraceID().String() == appTrace {
			t.Errorf("%q: %d spans, want one root", values, len(spans))
		}
	}
}

func TestSamplers(t *testing.T) {
	for _, tc := range []struct {
		sampler          string
		ratio            float64
		root, yes, noSay bool // without a parent, under a sampled one, under one that is not
	}{
		{"always_on", 1, true, true, true}, {"always_off", 1, false, false, false},
		{"parentbased_always_on", 1, true, true, false}, {"parentbased_always_off", 1, false, true, false},
		{"traceidratio", 0, false, false, false}, {"parentbased_traceidratio", 0, false, true, false}, {"traceidratio", 1, true, true, true},
	} {
		c := testConfig()
		c.Sampler, c.Ratio = tc.sampler, tc.ratio
		for flag, want := range map[string]bool{"": tc.root, "-01": tc.yes, "-00": tc.noSay} {
			var parent []string
			if flag != "" {
				parent = []string{"00-" + appTrace + "-" + appSpan + flag}
			}
			spans := exported(t, c, func(traces *Traces) {
				span := begin(traces, parent...)
				if _, _, sampled := span.IDs(); sampled != want {
					t.Errorf("%s %v under %q: sampled %v", tc.sampler, tc.ratio, flag, sampled)
				}
				// What is not exported here is still passed on, and says so.
				if passed, _ := span.Attempt("GET", 0).Context(); strings.HasSuffix(passed, "-01") != want || passed == "" {
					t.Errorf("%s under %q: upstream gets %q", tc.sampler, flag, passed)
				}
				span.End(&proxy.Record{})
			})
			if (len(spans) == 1) != want {
				t.Errorf("%s %v under %q: %d spans", tc.sampler, tc.ratio, flag, len(spans))
			}
		}
	}
}
