//go:build nootel

package main

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
)

func TestBuildWithoutTracesSaysSo(t *testing.T) {
	var log bytes.Buffer
	cfg := &config.Config{Traces: &config.Traces{Endpoint: &url.URL{Scheme: "http", Host: "collector"}}}
	if got := newTraces(cfg, zerolog.New(&log), ""); got != nil || !strings.Contains(log.String(), "nootel") {
		t.Errorf("%v, log %q: want none, and a warning", got, log.String())
	}
}
