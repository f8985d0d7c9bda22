//go:build linux

package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "delay:", err)
		os.Exit(1)
	}
}

func measure() error {
	idles, each, err := settings()
	if err != nil {
		return err
	}
	away, err := newLink()
	defer away()
	if err != nil {
		return err
	}
	u, err := newUpstream()
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(u.file) }()
	t := &table{cells: map[string][]string{}}
	if err := starts(u, t); err != nil {
		return err
	}
	contenders, err := all(u)
	defer func() {
		for _, c := range contenders {
			c.stop()
		}
	}()
	if err != nil {
		return err
	}
	for _, idle := range idles {
		if err := afterIdle(contenders, idle, t); err != nil {
			return err
		}
	}
	for _, rate := range []int{1, 10} {
		if err := atRate(contenders, rate, each, t); err != nil {
			return err
		}
	}
	t.print()
	return nil
}

func settings() (idles []time.Duration, each time.Duration, err error) {
	for text := range strings.SplitSeq(cmp.Or(os.Getenv("DELAY_IDLE"), "35s,60s,120s"), ",") {
		idle, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil {
			return nil, 0, err
		}
		idles = append(idles, idle)
	}
	each, err = time.ParseDuration(cmp.Or(os.Getenv("DELAY_FOR"), "60s"))
	return idles, each, err
}

func all(u *upstream) (contenders []*contender, err error) {
	sidecar, err := newSidecar(u)
	if err != nil {
		return nil, err
	}
	contenders = append(contenders, sidecar)
	nginx, err := newNginx(u)
	if nginx != nil {
		contenders = append(contenders, nginx)
	}
	return append(contenders, direct(u)), err
}

const startRounds = 5

// starts measures the first response of a process that has just been started.
func starts(u *upstream, t *table) error {
	for _, row := range []struct {
		name  string
		pause time.Duration
	}{{"first response, as soon as the port is open", 0}, {"first response, 1 s after the start", time.Second}} {
		times := map[string][]time.Duration{}
		var order []string
		for range startRounds {
			contenders, err := all(u)
			time.Sleep(row.pause)
			order = nil
			for _, c := range contenders {
				var took time.Duration
				if err == nil {
					if row.pause == 0 { // the others have been starting meanwhile
						c.stop()
						if c, err = again(u, c); err != nil {
							break
						}
					}
					took, err = c.get()
				}
				times[c.name] = append(times[c.name], took)
				order = append(order, c.name)
				c.stop()
			}
			if err != nil {
				return err
			}
		}
		for _, name := range order {
			t.set(row.name, name, median(times[name]))
		}
	}
	return nil
}

// again starts a contender anew.
func again(u *upstream, c *contender) (*contender, error) {
	switch c.name {
	case "sidecar":
		return newSidecar(u)
	case "nginx":
		return newNginx(u)
	}
	return direct(u), nil
}

func afterIdle(contenders []*contender, idle time.Duration, t *table) error {
	for _, c := range contenders {
		if _, err := c.get(); err != nil {
			return err
		}
	}
	time.Sleep(idle)
	for _, c := range contenders {
		took, err := c.get()
		if err != nil {
			return err
		}
		t.set(fmt.Sprintf("after %v of idle", idle), c.name, took)
	}
	time.Sleep(idle)
	took, err := contenders[0].get("X-Monite-Entity-User-Id", fmt.Sprintf("%08x-1111-4111-8111-111111111111", rand.Uint32()))
	if err != nil {
		return err
	}
	t.set(fmt.Sprintf("a new entity user, after %v of idle", idle), contenders[0].name, took)
	return nil
}

// atRate sends requests at random times, the same for all, and counts from the
// intended start.
func atRate(contenders []*contender, rate int, each time.Duration, t *table) error {
	var mu sync.Mutex
	var failed error
	times := map[string][]time.Duration{}
	var running sync.WaitGroup
	for end := time.Now().Add(each); time.Now().Before(end); {
		time.Sleep(time.Duration(rand.ExpFloat64() * float64(time.Second) / float64(rate)))
		for _, c := range contenders {
			running.Go(func() {
				took, err := c.get()
				mu.Lock()
				defer mu.Unlock()
				failed = cmp.Or(failed, err)
				times[c.name] = append(times[c.name], took)
			})
		}
	}
	running.Wait()
	for _, c := range contenders {
		slices.Sort(times[c.name])
		for _, p := range []int{50, 99} {
			t.set(fmt.Sprintf("%d a second, p%d", rate, p), c.name, times[c.name][(len(times[c.name])-1)*p/100])
		}
	}
	return failed
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// table collects the figures by row and contender, in the order in which they come.
type table struct {
	rows  []string
	cells map[string][]string
	names []string
}

func (t *table) set(row, name string, took time.Duration) {
	if t.cells[row] == nil {
		t.rows = append(t.rows, row)
	}
	if !slices.Contains(t.names, name) {
		t.names = append(t.names, name)
	}
	t.cells[row] = append(t.cells[row], fmt.Sprint(took.Milliseconds()))
	fmt.Fprintf(os.Stderr, "%s, %s: %v\n", row, name, took)
}

func (t *table) print() {
	fmt.Printf("Round trip %v, TLS 1.3; milliseconds.\n\n| | %s |\n|%s\n", 2*oneWay, strings.Join(t.names, " | "), strings.Repeat(" --- |", len(t.names)+1))
	for _, row := range t.rows {
		cells := t.cells[row]
		for len(cells) < len(t.names) {
			cells = append(cells, "")
		}
		fmt.Printf("| %s | %s |\n", row, strings.Join(cells, " | "))
	}
}
