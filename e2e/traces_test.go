package e2e

import (
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// traceCollector takes what the sidecar exports.
type traceCollector struct {
	mu    sync.Mutex // guards both
	raw   strings.Builder
	spans map[string]*tracepb.Span // by kind
	key   string
}

func (c *traceCollector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var data tracepb.TracesData
	if r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &data) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key = r.Header.Get("Api-Key")
	c.raw.Write(body)
	for _, resource := range data.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				c.spans[span.Kind.String()] = span
			}
		}
	}
}

func TestTracesReachTheCollectorAndHoldNoSecret(t *testing.T) {
	t.Parallel()
	collector := &traceCollector{spans: map[string]*tracepb.Span{}}
	collecting := httptest.NewServer(collector)
	t.Cleanup(collecting.Close)
	sim := monitetest.New(monitetest.Config{})
	var mu sync.Mutex // guards got
	got := http.Header{}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/payables") {
			mu.Lock()
			got = r.Header.Clone()
			mu.Unlock()
		}
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	key := newCanary("-")
	// Nothing is sent before the end: what is there then is flushed. Confined: the
	// collector's port is among those that are allowed.
	s := start(t, defaultEnv(upstream.URL).with("OTEL_EXPORTER_OTLP_ENDPOINT", collecting.URL, "OTEL_EXPORTER_OTLP_HEADERS", "api-key="+key,
		"OTEL_BSP_SCHEDULE_DELAY", "300000", "OTEL_SERVICE_NAME", "billing-sidecar")).ready()

	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	path, query, requestID, body := newCanary(""), newCanary(""), newCanary(""), newCanary("")
	s.mustCall("POST", "/v1/payables/"+path+"/approve_payment_operation?search="+query, `{"x":"`+body+`"}`, "Content-Type", "application/json",
		"X-Monite-Entity-Id", monitetest.DemoEntityID, "X-Request-Id", requestID, "Traceparent", "00-"+trace+"-"+parent+"-01", "Tracestate", "vendor=1")
	metrics, err := request(t.Context(), "GET", s.Admin+"/metrics", "", "Accept", "application/openmetrics-text; version=1.0.0")
	if err != nil || !strings.Contains(metrics.Body, `# {trace_id="`+trace+`"}`) {
		t.Errorf("no exemplar of the trace in the metrics, %v", err)
	}
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}

	collector.mu.Lock()
	defer collector.mu.Unlock()
	server, client := collector.spans["SPAN_KIND_SERVER"], collector.spans["SPAN_KIND_CLIENT"]
	if server == nil || client == nil {
		t.Fatalf("spans %v, want those of the request and of the attempt", collector.spans)
	}
	if hex.EncodeToString(server.TraceId) != trace || hex.EncodeToString(server.ParentSpanId) != parent {
		t.Errorf("the request is not under the app's span: %v", server)
	}
	if string(client.ParentSpanId) != string(server.SpanId) || string(client.TraceId) != string(server.TraceId) {
		t.Errorf("the attempt is not under the request: %v", client)
	}
	if server.Name != "POST /v1/payables/{payable_id}/approve_payment_operation" {
		t.Errorf("name %q", server.Name)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := "00-" + trace + "-" + hex.EncodeToString(client.SpanId) + "-01"; got.Get("Traceparent") != want || got.Get("Tracestate") != "vendor=1" {
		t.Errorf("upstream got %q, %q, want %q", got.Get("Traceparent"), got.Get("Tracestate"), want)
	}
	if collector.key != key {
		t.Error("the collector did not get its key")
	}
	log := s.log.String()
	if !strings.Contains(log, `"trace_id":"`+trace+`","span_id":"`+hex.EncodeToString(server.SpanId)+`"`) {
		t.Error("the line of the request does not name the span")
	}
	canaries := map[string]string{
		"client id": monitetest.DemoClientID, "client secret": monitetest.DemoClientSecret, "path": path, "query": query, "request id": requestID,
		"body": body, "entity": monitetest.DemoEntityID, "the collector's key": key, "token": strings.TrimPrefix(got.Get("Authorization"), "Bearer "),
	}
	if hits := sweep(canaries, map[string]string{"export": collector.raw.String()}); len(hits) > 0 {
		t.Errorf("in the export: %+v", hits)
	}
	if strings.Contains(log, key) || !strings.Contains(collector.raw.String(), "billing-sidecar") {
		t.Error("the key is in the log, or the name of the service is not in the export")
	}
}

func TestTraceContextPassesUntouchedWithoutTraces(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	sim := monitetest.New(monitetest.Config{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/entities" {
			got <- r.Header.Clone()
		}
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	s := start(t, defaultEnv(upstream.URL)).ready()
	s.mustCall("GET", "/v1/entities", "", "Traceparent", "anything", "Tracestate", "at all")
	if header := <-got; header.Get("Traceparent") != "anything" || header.Get("Tracestate") != "at all" {
		t.Errorf("upstream got %v", header)
	}
	if strings.Contains(s.log.String(), "trace_id") {
		t.Error("a trace is named without traces")
	}
}

func TestCollectorInTroubleHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for name, at := range map[string]string{"down": freePort(t), "hanging": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, url := simulate(t, monitetest.Config{})
			s := start(t, defaultEnv(url).with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+at, "OTEL_BSP_SCHEDULE_DELAY", "10",
				"OTEL_BSP_MAX_QUEUE_SIZE", "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")).ready()
			for range 30 {
				before := time.Now()
				a := s.mustCall("GET", "/v1/entities?limit=1", "")
				if took := time.Since(before); a.Status != http.StatusOK || took > 2*time.Second {
					t.Fatalf("%d after %v", a.Status, took)
				}
			}
			if dropped := s.metricValue("monite_proxy_trace_spans_dropped_total"); dropped < 10 {
				t.Errorf("%v spans dropped, want most of 60", dropped)
			}
			before := time.Now()
			s.signal(syscall.SIGTERM)
			if code := s.exitCode(10 * time.Second); code != 0 || time.Since(before) > 6*time.Second {
				t.Errorf("exit code %d after %v", code, time.Since(before))
			}
			if n := strings.Count(s.log.String(), "traces are not exported"); n > 1 {
				t.Errorf("mentioned %d times", n)
			}
		})
	}
}
