//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func (b *bench) measure() error {
	b.began = time.Now()
	steps := []struct {
		name string
		do   func() error
	}{
		{"cold starts", b.coldStarts}, {"memory, idle", b.idleMemory}, {"throughput", b.throughput}, {"latency", b.latency}, {"writes", b.writes},
		{"bodies", b.bodies}, {"system calls", b.systemCalls},
	}
	defer func() {
		for _, c := range b.contenders {
			c.stop()
		}
	}()
	for _, step := range steps {
		fmt.Fprintf(os.Stderr, "bench: %s (%v)\n", step.name, time.Since(b.began).Round(time.Second))
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// watched runs do, and returns the CPU time of the contender, and how many cores
// were busy with what is none of ours.
func (b *bench) watched(c *contender, do func() (helpers time.Duration, err error)) (cpu time.Duration, foreign float64, err error) {
	ours := func() time.Duration {
		var self syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &self)
		return b.upstream.cpu() + time.Duration(self.Utime.Nano()+self.Stime.Nano())
	}
	began, busyBefore, oursBefore, before := time.Now(), busy(), ours(), c.cpu()
	helpers, err := do()
	cpu = c.cpu() - before
	rest := busy() - busyBefore - (ours() - oursBefore) - cpu - helpers
	return cpu, max(0, rest.Seconds()/time.Since(began).Seconds()), err
}

// coldStarts measures from exec to the first 200, a mint included where one is
// needed.
func (b *bench) coldStarts() error {
	for round := range b.plan.Starts {
		for _, c := range b.contenders {
			began := time.Now()
			if err := c.start(); err != nil {
				return err
			}
			for {
				client, err := dialClient(c.port, false)
				if err == nil {
					err = client.do(requestText(false))
					_ = client.conn.Close()
				}
				if err == nil {
					break
				}
				if time.Since(began) > 10*time.Second {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			b.add(c.name, figStart, round, float64(time.Since(began).Microseconds())/1000, 0)
			c.stop()
		}
	}
	for _, c := range b.contenders {
		if err := c.start(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) idleMemory() error {
	for _, c := range b.contenders {
		client, err := dialClient(c.port, false)
		if err != nil {
			return err
		}
		err = client.do(requestText(false)) // it has begun
		_ = client.conn.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	time.Sleep(300 * time.Millisecond)
	for _, c := range b.contenders {
		b.add(c.name, figIdle, 0, c.rss(), 0)
		conns := make([]net.Conn, 0, b.plan.Clients)
		for range b.plan.Clients {
			client, err := dialClient(c.port, false)
			if err != nil {
				return err
			}
			if err := client.do(requestText(false)); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			conns = append(conns, client.conn)
		}
		time.Sleep(200 * time.Millisecond)
		b.add(c.name, figClients, 0, c.rss(), 0)
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	return nil
}

func (b *bench) throughput() error {
	for round := range b.plan.Rounds {
		for _, c := range b.contenders {
			requests, took := 0, time.Duration(0)
			cpu, foreign, err := b.watched(c, func() (helpers time.Duration, err error) {
				requests, took, helpers, err = wrk(c.port, 64, b.plan.Closed)
				return helpers, err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			b.add(c.name, figCPU, round, float64(cpu.Microseconds())/float64(requests), foreign)
			b.add(c.name, figRate, round, float64(requests)/took.Seconds(), foreign)
		}
	}
	for _, c := range b.contenders {
		b.add(c.name, figLoaded, 0, c.rss(), 0)
	}
	return nil
}

func (b *bench) latency() error {
	for round := range b.plan.Latency {
		for _, rate := range b.plan.Rates {
			direct, err := openLoop(b.upstream.port, true, rate, b.plan.Open)
			if err != nil {
				return fmt.Errorf("direct: %w", err)
			}
			for _, c := range b.contenders {
				var got []time.Duration
				cpu, foreign, err := b.watched(c, func() (_ time.Duration, err error) {
					got, err = openLoop(c.port, false, rate, b.plan.Open)
					return 0, err
				})
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				for what, q := range map[string]float64{"added p50 µs": 0.5, "added p99 µs": 0.99} {
					b.add(c.name, figAt(what, rate), round, float64((quantile(got, q) - quantile(direct, q)).Microseconds()), foreign)
				}
				b.add(c.name, figAt("CPU µs/request", rate), round, float64(cpu.Microseconds())/float64(len(got)), foreign)
			}
		}
	}
	return nil
}

// writes compares the sidecar with itself, the guard switched off.
func (b *bench) writes() error {
	at := slices.IndexFunc(b.contenders, func(c *contender) bool { return c.name == "monite-proxy" })
	if at < 0 {
		return nil
	}
	guarded, bare := b.contenders[at], sidecarOf(b.upstream, "bare", b.plan.ProxyBin, "MONITE_REPEAT_GUARD=0")
	bare.out = guarded.out + "-bare"
	if err := bare.start(); err != nil {
		return err
	}
	defer func() { bare.stop() }()
	const connections = 8
	next := 0
	for round := range 2 * b.plan.Rounds {
		for c, figure := range map[*contender]string{guarded: figWrite, bare: figBare} {
			cpu, foreign, err := b.watched(c, func() (time.Duration, error) {
				var writing errgroup.Group
				for range connections {
					from := next
					next += b.plan.Writes
					writing.Go(func() error { return sendWrites(c.port, from, b.plan.Writes) })
				}
				return 0, writing.Wait()
			})
			if err != nil {
				return fmt.Errorf("%s: %w", figure, err)
			}
			b.add(guarded.name, figure, round, float64(cpu.Microseconds())/float64(connections*b.plan.Writes), foreign)
		}
	}
	return nil
}

func (b *bench) bodies() error {
	n := 100
	if b.plan.Rounds == 1 {
		n = 5
	}
	for round := range b.plan.Rounds {
		for _, c := range b.contenders {
			for _, up := range []bool{false, true} {
				cpu, foreign, err := b.watched(c, func() (time.Duration, error) { return 0, bodies(c.port, n, up) })
				figure := figDown
				if up {
					figure = figUp
				}
				if err != nil && strings.HasPrefix(c.name, "monite-proxy") {
					return fmt.Errorf("%s, %s: %w", c.name, figure, err)
				}
				if err != nil { // a peer's trouble leaves a gap in the table
					fmt.Fprintf(os.Stderr, "bench: %s of %s: %v\n", figure, c.name, err)
					continue
				}
				b.add(c.name, figure, round, float64(cpu.Microseconds())/float64(n), foreign)
			}
		}
	}
	for _, c := range b.contenders {
		b.add(c.name, figBodies, 0, c.rss(), 0)
	}
	return nil
}

func (b *bench) systemCalls() error {
	if !b.plan.Strace {
		return nil
	}
	for _, c := range b.contenders {
		calls, err := c.syscalls(func() (int, error) {
			client, err := dialClient(c.port, false)
			if err != nil {
				return 0, err
			}
			defer func() { _ = client.conn.Close() }()
			const n = 2000
			for range n {
				if err := client.do(requestText(false)); err != nil && err != io.EOF { //nolint:errorlint // bare
					return 0, err
				}
			}
			return n, nil
		})
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: system calls of %s: %v\n", c.name, err)
			continue
		}
		b.add(c.name, figCalls, 0, calls, 0)
	}
	return nil
}

// quiet is the number of cores that may be busy with something else before a sample
// is dropped.
const quiet = 0.2

// median is of the quiet samples, or of all if none was.
func (b *bench) median(contender, figure string) (value float64, ok, noisy bool) {
	var all, good []float64
	for _, s := range b.samples {
		if s.Contender == contender && s.Figure == figure {
			all = append(all, s.Value)
			if s.Foreign <= quiet {
				good = append(good, s.Value)
			}
		}
	}
	if len(all) == 0 {
		return 0, false, false
	}
	if noisy = 2*len(good) < len(all); noisy {
		good = all
	}
	slices.Sort(good)
	return good[len(good)/2], true, noisy
}
