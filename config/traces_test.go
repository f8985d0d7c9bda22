package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestTracesAreOffUnlessAnEndpointIsSet(t *testing.T) {
	for name, pairs := range map[string]map[string]string{
		"nothing": {},
		"only the rest": {"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_SAMPLER": "xray",
			"OTEL_EXPORTER_OTLP_CERTIFICATE": "/missing", "OTEL_SERVICE_NAME": "x"},
		"disabled":                {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"},
		"no exporter":             {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"},
		"disabled, and bad":       {"OTEL_EXPORTER_OTLP_ENDPOINT": "@@", "OTEL_SDK_DISABLED": "true"},
		"an endpoint for metrics": {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318"},
	} {
		if cfg := mustLoad(t, pairs); cfg.Traces != nil {
			t.Errorf("%s: Traces = %+v, want none", name, cfg.Traces)
		}
	}
}

func TestTracesFromTheVariables(t *testing.T) {
	for name, tc := range map[string]struct {
		pairs map[string]string
		want  string
	}{
		"defaults": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
			"http://collector:4318/v1/traces 10s monite-proxy [] parentbased_always_on 1 2048 512 5s []"},
		"a base with a path": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c.example/otlp/"},
			"https://c.example/otlp/v1/traces 10s monite-proxy [] parentbased_always_on 1 2048 512 5s []"},
		"that of traces is whole": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "@@", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c.example/own"},
			"https://c.example/own 10s monite-proxy [] parentbased_always_on 1 2048 512 5s []"},
		"everything": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_EXPORTER_OTLP_HEADERS": "a=1",
			"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2,c=3",
			"OTEL_EXPORTER_OTLP_TIMEOUT":        "1", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2000", "OTEL_BSP_EXPORT_TIMEOUT": "1500",
			"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
			"OTEL_RESOURCE_ATTRIBUTES": "service.name=other, k8s.pod.name=a%2Cb", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25",
			"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5", "OTEL_BSP_SCHEDULE_DELAY": "100"},
			"http://localhost:4318/v1/traces 1.5s other [{service.name other} {k8s.pod.name a,b}] traceidratio 0.25 10 5 100ms [b=2 c=3]"},
		"a name of its own": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost", "OTEL_SERVICE_NAME": "billing",
			"OTEL_RESOURCE_ATTRIBUTES": "service.name=other"},
			"http://localhost/v1/traces 10s billing [{service.name other}] parentbased_always_on 1 2048 512 5s []"},
	} {
		got := mustLoad(t, tc.pairs).Traces
		var fields []string
		for _, f := range got.Headers {
			fields = append(fields, f.Name+"="+f.Value.Reveal())
		}
		text := fmt.Sprint(got.Endpoint, got.Timeout, " ", got.ServiceName, " ", got.Attributes, " ", got.Sampler, " ", got.Ratio, " ",
			got.QueueSize, " ", got.BatchSize, " ", got.BatchDelay, " ", fields)
		text = strings.Replace(text, got.Endpoint.String(), got.Endpoint.String()+" ", 1)
		if diff := cmp.Diff(tc.want, strings.ReplaceAll(text, "  ", " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestBadTraceVariablesAreMistakes(t *testing.T) {
	for _, tc := range [][2]string{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"}, {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:p@collector"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector?key=x"}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:99999/"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "no value"}, {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=b%0a"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/missing"}, {"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/missing"},
		{"OTEL_RESOURCE_ATTRIBUTES", "x"}, {"OTEL_TRACES_EXPORTER", "zipkin"}, {"OTEL_TRACES_SAMPLER", "xray"},
		{"OTEL_SDK_DISABLED", "perhaps"}, {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2049"}, {"OTEL_BSP_SCHEDULE_DELAY", "5s"},
	} {
		pairs := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", tc[0]: tc[1]}
		_, err := load(t, pairs)
		if got := lines(err); len(got) != 1 || !strings.HasPrefix(got[0], tc[0]+": want ") || strings.Contains(got[0], "u:p") {
			t.Errorf("%s=%s: %q, want one mistake of that name", tc[0], tc[1], got)
		}
	}
	for _, ratio := range []string{"-0.1", "1.1", "NaN", "half"} {
		_, err := load(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
			"OTEL_TRACES_SAMPLER_ARG": ratio})
		if got := lines(err); len(got) != 1 || !strings.HasPrefix(got[0], "OTEL_TRACES_SAMPLER_ARG: ") {
			t.Errorf("ratio %s: %q, want one mistake", ratio, got)
		}
	}
}

func TestTraceSettingsShowNoValueOfAnAttributeOrHeader(t *testing.T) {
	cfg := mustLoad(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/CANARY",
		"OTEL_RESOURCE_ATTRIBUTES": "team=CANARY", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=CANARY"})
	text := fmt.Sprintf("%+v %+v %#v", cfg.Redacted(), cfg.Traces.Headers, cfg.Warnings)
	if strings.Contains(text, "CANARY") {
		t.Errorf("shown: %s", around(text, "CANARY"))
	}
	if !strings.Contains(text, "Name:OTEL_RESOURCE_ATTRIBUTES Value:team ") || !strings.Contains(text, "Value:http://collector:4318 ") {
		t.Errorf("not shown: %s", text)
	}
	if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "in the clear") {
		t.Errorf("Warnings = %q, want that the fields travel in the clear", cfg.Warnings)
	}
}

func TestCollectorHasRootsOfItsOwn(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "ca.pem"), string(wiretest.NewAuthority().PEM()))
	cfg := mustLoad(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector", "OTEL_EXPORTER_OTLP_CERTIFICATE": path})
	if cfg.Traces.RootCAs == nil || cfg.RootCAs != nil {
		t.Errorf("roots of the collector %v, of upstream %v: want only the former", cfg.Traces.RootCAs, cfg.RootCAs)
	}
}
