//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// plan says how much is measured.
type plan struct {
	Rounds   int           // of throughput and bodies
	Latency  int           // rounds of open-loop load
	Closed   time.Duration // one throughput measurement
	Open     time.Duration // one open-loop measurement
	Starts   int           // cold starts
	Clients  int           // idle ones
	Writes   int           // on each connection of one measurement
	Rates    []int         // requests per second
	Strace   bool
	Only     []string // contenders; empty: all
	Out      string
	ProxyBin string
	Caddy    string
	Before   string // another binary of the sidecar to compare with; empty: none
}

var (
	full  = plan{Rounds: 5, Latency: 7, Closed: 3 * time.Second, Open: 3 * time.Second, Starts: 7, Clients: 1000, Writes: 1000, Rates: []int{1000, 3000}, Strace: true}
	short = plan{Rounds: 1, Latency: 1, Closed: 300 * time.Millisecond, Open: 300 * time.Millisecond, Starts: 1, Clients: 50, Writes: 20, Rates: []int{500}}
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "stock" { // a contender, started by ourselves
		serveStock(os.Args[2:])
		return
	}
	p := full
	if os.Getenv("BENCH") == "short" {
		p = short
	}
	only, from := "", ""
	flag.StringVar(&p.ProxyBin, "proxy", "bin/monite-proxy", "the sidecar's binary")
	flag.StringVar(&p.Caddy, "caddy", "caddy", "caddy's binary, left out if it is not there")
	flag.StringVar(&p.Before, "before", "", "an earlier binary of the sidecar, as a contender of that name")
	flag.StringVar(&p.Out, "out", "bench/out", "where raw data, table and plot go")
	flag.StringVar(&only, "only", "", "contenders, with commas between them")
	flag.IntVar(&p.Rounds, "rounds", p.Rounds, "interleaved rounds of throughput")
	flag.DurationVar(&p.Closed, "closed", p.Closed, "one throughput measurement")
	flag.IntVar(&p.Latency, "latency", p.Latency, "interleaved rounds of latency")
	flag.StringVar(&from, "from", "", "measure nothing: table and plot of an earlier run's raw data")
	flag.Parse()
	if only != "" {
		p.Only = strings.Split(only, ",")
	}
	measure := run
	if from != "" {
		measure = func(p plan) error { return again(p, from) }
	}
	if err := measure(p); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(p plan) error {
	if err := os.MkdirAll(p.Out, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "monite-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	up, err := startUpstream(dir)
	if err != nil {
		return err
	}
	defer up.stop()
	all, err := contenders(p, dir, up)
	if err != nil {
		return err
	}
	b := &bench{plan: p, upstream: up, contenders: all}
	failed := b.measure()
	// What was measured before a failure took minutes.
	if err := errors.Join(failed, b.save(filepath.Join(p.Out, "samples.json"))); err != nil {
		return err
	}
	return b.show()
}

// again shows what an earlier run measured.
func again(p plan, from string) error {
	b := &bench{plan: p}
	if err := b.load(from); err != nil {
		return err
	}
	return b.show()
}

func (b *bench) show() error {
	table, p := b.table(), b.plan
	fmt.Fprint(os.Stdout, table)
	if err := os.WriteFile(filepath.Join(p.Out, "table.md"), []byte(table), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.Out, "plot.svg"), []byte(b.plot()), 0o644)
}
