//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// figures are the columns of the table, in order.
func (b *bench) figures() []string {
	all := []string{figCPU, figRate}
	for _, rate := range b.plan.Rates {
		all = append(all, figAt("added p50 µs", rate), figAt("added p99 µs", rate), figAt("CPU µs/request", rate))
	}
	return append(all, figWrite, figBare, figDown, figUp, figIdle, figClients, figLoaded, figBodies, figStart, figCalls)
}

// table shows medians, and beside each the ratio to nginx with its access log:
// the contender that does as much.
func (b *bench) table() string {
	var t strings.Builder
	b.tellRun(&t)
	fmt.Fprint(&t, "Medians; in brackets the ratio to nginx-log. ~: most rounds had foreign load.\n\n| figure |")
	for _, c := range b.contenders {
		fmt.Fprintf(&t, " %s |", c.name)
	}
	fmt.Fprintf(&t, "\n| --- |%s\n", strings.Repeat(" --- |", len(b.contenders)))
	for _, figure := range b.figures() {
		reference, _, _ := b.median("nginx-log", figure)
		fmt.Fprintf(&t, "| %s |", figure)
		for _, c := range b.contenders {
			value, ok, noisy := b.median(c.name, figure)
			switch {
			case !ok:
				fmt.Fprint(&t, " |")
				continue
			case noisy:
				fmt.Fprint(&t, " ~")
			default:
				fmt.Fprint(&t, " ")
			}
			fmt.Fprint(&t, number(value))
			if reference > 0 && c.name != "nginx-log" {
				fmt.Fprintf(&t, " (%.2f)", value/reference)
			}
			fmt.Fprint(&t, " |")
		}
		fmt.Fprintln(&t)
	}
	return t.String()
}

// tellRun says where, when and with what was measured; of an earlier run that is not
// known.
func (b *bench) tellRun(t *strings.Builder) {
	if b.began.IsZero() {
		return
	}
	fmt.Fprintf(t, "%s, %d processors, %s, run of %s that took %v; %d rounds of throughput, %d of latency.\n",
		machine(), processors(), runtime.Version(), b.began.UTC().Format(time.DateOnly), time.Since(b.began).Round(time.Second), b.plan.Rounds, b.plan.Latency)
	for _, command := range [][]string{{"nginx", "-v"}, {"haproxy", "-v"}, {b.plan.Caddy, "version"}} {
		if text, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err == nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
			fmt.Fprintf(t, "%s.\n", first)
		}
	}
}

func number(value float64) string {
	if value >= 100 || value <= -100 {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.1f", value)
}

func machine() string {
	text, err := exec.Command("uname", "-srm").Output()
	if err != nil {
		return runtime.GOOS
	}
	return strings.TrimSpace(string(text))
}

// processors are those of the machine, not the one that we keep to.
func processors() int {
	text, _ := exec.Command("nproc", "--all").Output()
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}
