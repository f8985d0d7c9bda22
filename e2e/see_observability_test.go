package e2e

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestAuditFileHasTheWritesAndTheLogHasThemOtherwise(t *testing.T) {
	t.Parallel()
	_, url := simulate(t, monitetest.Config{})
	path := filepath.Join(t.TempDir(), "audit")
	s := start(t, defaultEnv(url).with("MONITE_AUDIT_LOG", path)).ready()
	lines := func(path string) (all []map[string]any) {
		text, _ := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%v: %q", err, line)
			}
			all = append(all, fields)
		}
		return all
	}
	write := func(s *sidecar) {
		s.mustCall("POST", "/v1/payables", `{"currency":"EUR"}`, "X-Monite-Entity-Id", monitetest.DemoEntityID, "Content-Type",
			"application/json", "X-Request-Id", "w-1")
		s.mustCall("GET", "/v1/payables", "", "X-Monite-Entity-Id", monitetest.DemoEntityID)
	}
	write(s)
	wiretest.Eventually(t, "an audit line", func() bool { return len(lines(path)) == 1 })
	if line := lines(path)[0]; line["message"] != "audit" || line["request_id"] != "w-1" || line["route"] != "/v1/payables" ||
		line["outcome"] != "answered" || line["entity_hash"] == nil || line["time"] == nil {
		t.Errorf("audit line = %v", line)
	}
	if strings.Contains(s.log.String(), `"audit"`) {
		t.Error("the audit line is in the log too")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v", info.Mode(), err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	wiretest.Eventually(t, "the new file", func() bool { _, err := os.Stat(path); return err == nil })
	write(s)
	wiretest.Eventually(t, "a line in the new file", func() bool { return len(lines(path)) == 1 })
	if n := len(lines(path + ".1")); n != 1 {
		t.Errorf("the old file has %d lines", n)
	}

	other := start(t, defaultEnv(url))
	write(other)
	other.waitLogged(`"message":"audit"`)

	wantCommand(t, 2, defaultEnv(url).with("MONITE_AUDIT_LOG", t.TempDir()), "", "MONITE_AUDIT_LOG: want")
}

const assets = "../deploy/observability/"

// expressions are those of every panel of the dashboard, with its variables as
// Grafana would fill them in for one sidecar.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Type string }
		}
		Panels []struct {
			Title   string
			Targets []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, assets+"dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"datasource", "job", "instance"} {
		if len(dashboard.Templating.List) != 3 || dashboard.Templating.List[i].Name != want {
			t.Fatalf("variables of the dashboard = %v", dashboard.Templating.List)
		}
	}
	all := map[string]string{}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			if !strings.Contains(target.Expr, `job=~"$job",instance=~"$instance"`) {
				t.Errorf("%s: %s does not heed the variables", panel.Title, target.Expr)
			}
			all[panel.Title+" "+target.RefID] = strings.NewReplacer("$job", "monite-proxy", "$instance", ".*", "$__rate_interval", "10s").Replace(target.Expr)
		}
	}
	return all
}

// ruleTexts are the alerts, by name, as their file has them.
func ruleTexts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, rule := range strings.Split(readFile(t, assets+"rules.yaml"), "- alert: ")[1:] {
		name, body, _ := strings.Cut(rule, "\n")
		all[name] = body
	}
	return all
}

func TestEveryAlertHasASectionInTheRunbookAndATest(t *testing.T) {
	t.Parallel()
	book, tests := readFile(t, assets+"runbook.md"), readFile(t, assets+"rules_test.yaml")
	rules := ruleTexts(t)
	if len(rules) < 10 {
		t.Errorf("alerts = %d", len(rules))
	}
	for name, body := range rules {
		if !strings.Contains(book, "\n## "+name+"\n") {
			t.Errorf("%s has no section in the runbook", name)
		}
		if !strings.Contains(body, "runbook.md#"+strings.ToLower(name)+"\n") || !strings.Contains(body, "severity: ") {
			t.Errorf("%s does not lead to its section, or has no severity", name)
		}
		if !strings.Contains(tests, `"`+name+`"`) {
			t.Errorf("%s is in no test", name)
		}
	}
	for section := range strings.SplitSeq(book, "\n## ") {
		if name, _, _ := strings.Cut(section, "\n"); strings.HasPrefix(name, "MoniteProxy") && rules[name] == "" {
			t.Errorf("the runbook has a section for %s, which is no alert", name)
		}
	}
}

func TestAlertsFireForTheirCauseAlone(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian has it in the package prometheus): the alerts are not checked")
	}
	for _, args := range [][]string{{"check", "rules", assets + "rules.yaml"}, {"test", "rules", assets + "rules_test.yaml"}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// What a dashboard asks for and nobody exports is an empty panel: a real
// Prometheus scrapes the real binary and is asked everything.
func TestPrometheusAnswersEveryExpressionOfTheDashboardAndTheAlerts(t *testing.T) {
	t.Parallel()
	prometheus, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("prometheus is not installed (Debian has it): the dashboard's expressions are not checked")
	}
	sim, url := simulate(t, monitetest.Config{})
	// Traces have a metric of their own, which nobody has to take; so has what replicas share.
	s := start(t, defaultEnv(url).with("MONITE_HOLD_TIMEOUT", "100ms", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+freePort(t),
		"MONITE_REDIS_URL", startRedis(t).url())).ready()
	dir, rules := t.TempDir(), ""
	if rules, err = filepath.Abs(assets + "rules.yaml"); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 500ms, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n"+
		"  - {job_name: monite-proxy, static_configs: [{targets: [%s]}]}\n", rules, strings.TrimPrefix(s.Admin, "http://"))
	writeFile(t, filepath.Join(dir, "prometheus.yml"), config)
	address := freePort(t)
	cmd := exec.Command(prometheus, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=error")
	output := &wiretest.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus: %s", output)
		}
	})

	// All kinds of things happen, and go on happening while there are two scrapes.
	traffic := func() {
		s.mustCall("GET", "/v1/entities", "")
		s.mustCall("POST", "/v1/payables", `{"currency":"EUR"}`, "X-Monite-Entity-Id", monitetest.DemoEntityID, "Content-Type", "application/json")
		s.mustCall("GET", "/v1/entities", "", "X-Monite-Entity-User-Id", "not-an-id")
	}
	sim.Inject(monitetest.Fault{Method: "POST", Path: "/v1/payables", Effect: monitetest.EffectRST, Times: 1})
	ask := func(expression string) (results []struct{ Value [2]any }) {
		a, err := request(t.Context(), "GET", "http://"+address+"/api/v1/query?query="+neturl.QueryEscape(expression), "")
		if err != nil {
			return nil
		}
		var answer struct {
			Status, Error string
			Data          struct{ Result []struct{ Value [2]any } }
		}
		if err := json.Unmarshal([]byte(a.Body), &answer); err != nil {
			return nil // it is starting
		}
		if answer.Status != "success" {
			t.Errorf("%s: %s", expression, answer.Error)
		}
		return answer.Data.Result
	}
	wiretest.Eventually(t, "Prometheus to scrape", func() bool {
		traffic()
		return len(ask(`rate(monite_proxy_requests_total{code="200"}[10s]) > 0`)) > 0
	})
	for name, expression := range expressions(t) {
		if len(ask(expression)) == 0 {
			t.Errorf("panel %s shows nothing: %s", name, expression)
		}
	}
	// An alert that does not fire shows nothing; but its metrics must be there.
	metrics := s.admin("GET", "/metrics").Body
	names := regexp.MustCompile(`monite_proxy_[a-z_]+`)
	for name, body := range ruleTexts(t) {
		expr, _, _ := strings.Cut(body, "\n        for: ")
		for _, metric := range names.FindAllString(expr, -1) {
			if !strings.Contains(metrics, "\n"+metric+"{") && !strings.Contains(metrics, "\n"+metric+" ") {
				t.Errorf("%s looks at %s, which nobody exports", name, metric)
			}
		}
	}
	var state struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	evaluated := 0
	wiretest.Eventually(t, "the alerts to be evaluated", func() bool {
		a, err := request(t.Context(), "GET", "http://"+address+"/api/v1/rules", "")
		if err != nil || json.Unmarshal([]byte(a.Body), &state) != nil {
			return false
		}
		evaluated = 0
		for _, group := range state.Data.Groups {
			for _, rule := range group.Rules {
				if rule.Health == "err" {
					t.Fatalf("%s: %s", rule.Name, rule.LastError)
				}
				if rule.Health == "ok" {
					evaluated++
				}
			}
		}
		return evaluated == len(ruleTexts(t))
	})
	if len(ask(`monite_proxy_outcomes_total{outcome="unknown"} >= 1`)) == 0 {
		t.Error("the request of unknown outcome was not scraped")
	}
}

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
	sim, url := simulate(t, monitetest.Config{})
	key := newCanary("-")
	// Nothing is sent before the end: what is there then is flushed. Confined: the
	// collector's port is among those that are allowed.
	s := start(t, defaultEnv(url).with("OTEL_EXPORTER_OTLP_ENDPOINT", serve(t, collector), "OTEL_EXPORTER_OTLP_HEADERS", "api-key="+key,
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
	s.ends(0, 10*time.Second)

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
	got := headerOf(t, sim, "/v1/payables")
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

// headerOf is that of the one request whose target begins like this.
func headerOf(t *testing.T, sim *monitetest.Simulator, target string) http.Header {
	t.Helper()
	for _, r := range sim.Requests() {
		if strings.HasPrefix(r.Target, target) {
			return r.Header
		}
	}
	t.Fatalf("upstream saw no request for %s", target)
	return nil
}

func TestTraceContextPassesUntouchedWithoutTraces(t *testing.T) {
	t.Parallel()
	sim, url := simulate(t, monitetest.Config{})
	s := start(t, defaultEnv(url)).ready()
	s.mustCall("GET", "/v1/entities", "", "Traceparent", "anything", "Tracestate", "at all")
	if header := headerOf(t, sim, "/v1/entities"); header.Get("Traceparent") != "anything" || header.Get("Tracestate") != "at all" {
		t.Errorf("upstream got %v", header)
	}
	if strings.Contains(s.log.String(), "trace_id") {
		t.Error("a trace is named without traces")
	}
}

func TestCollectorInTroubleHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	silent := listenOn(t, "127.0.0.1:0") // connects, and says nothing
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
			s.signal(syscall.SIGTERM)
			s.ends(0, 6*time.Second)
			if n := strings.Count(s.log.String(), "traces are not exported"); n > 1 {
				t.Errorf("mentioned %d times", n)
			}
		})
	}
}
