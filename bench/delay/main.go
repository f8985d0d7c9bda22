//go:build linux

package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
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
	sets := make([][]*contender, copies)
	defer func() {
		for _, c := range slices.Concat(sets...) {
			c.stop()
		}
	}()
	for n := range sets {
		if sets[n], err = all(u, n); err != nil {
			return err
		}
	}
	for _, idle := range idles {
		if err := afterIdle(sets, idle, t); err != nil {
			return err
		}
	}
	for _, rate := range []int{1, 10} {
		if err := atRate(sets[0], rate, each, t); err != nil {
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

// copies of each contender are idle at the same time, since one request after ten
// minutes would be one sample.
const copies = 5

// all starts the n-th copy of each contender.
func all(u *upstream, n int) (contenders []*contender, err error) {
	sidecar, err := newSidecar(u, n)
	if err != nil {
		return nil, err
	}
	contenders = append(contenders, sidecar)
	nginx, err := newNginx(u, n)
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
			contenders, err := all(u, 0)
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
		return newSidecar(u, 0)
	case "nginx":
		return newNginx(u, 0)
	}
	return direct(u), nil
}

func afterIdle(sets [][]*contender, idle time.Duration, t *table) error {
	for _, c := range slices.Concat(sets...) {
		if _, err := c.get(); err != nil {
			return err
		}
	}
	time.Sleep(idle)
	times := map[string][]time.Duration{}
	for _, c := range slices.Concat(sets...) {
		took, err := c.get()
		if err != nil {
			return err
		}
		times[c.name] = append(times[c.name], took)
	}
	for _, c := range sets[0] {
		t.set(fmt.Sprintf("after %v of idle", idle), c.name, median(times[c.name]))
	}
	time.Sleep(idle)
	var users []time.Duration
	for _, set := range sets {
		took, err := set[0].get("X-Monite-Entity-User-Id", fmt.Sprintf("%08x-1111-4111-8111-111111111111", rand.Uint32()))
		if err != nil {
			return err
		}
		users = append(users, took)
	}
	t.set(fmt.Sprintf("a new entity user, after %v of idle", idle), sets[0][0].name, median(users))
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
	t.plot()
}

// plot draws the same as bars of 5 ms a letter.
func (t *table) plot() {
	fmt.Print("\n```text\n")
	for _, row := range t.rows {
		label := row
		for i, cell := range t.cells[row] {
			ms, _ := strconv.Atoi(cell)
			fmt.Printf("%-44s %-12s %s %d\n", label, t.names[i], strings.Repeat("▇", (ms+2)/5), ms)
			label = ""
		}
	}
	fmt.Print("```\n")
}
