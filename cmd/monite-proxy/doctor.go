package main

import (
	"context"
	"encoding/json"
	"io"
	"os/signal"
	"syscall"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/doctor"
	"github.com/monite-proxy/monite-proxy/tokencache/redisstore"
)

// examine runs the doctor and prints its report.
func examine(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("doctor", "", stderr)
	asJSON := flags.Bool("json", false, "print the report as JSON")
	if code, done := parse(flags, args, stderr); done {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	version, _, _ := build()
	var report doctor.Report
	if cfg, err := config.Load(); err != nil {
		report = doctor.Misconfigured(version, err)
	} else {
		c := doctor.Config{Settings: cfg, Version: version, Transport: newTransport(cfg), LocalTLS: cfg.ClientTLS}
		if cfg.Redis != nil {
			c.Store = redisstore.New(storeConfig(cfg, cfg.Credentials))
		}
		report = doctor.Examine(ctx, c)
	}
	if *asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(report)
	} else {
		_, _ = io.WriteString(stdout, report.Text())
	}
	if report.Problems > 0 {
		return exitFailure
	}
	return exitOK
}
