package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func faultsConnections(r *faultRun) {
	for when, n := range map[faultWhen]int{inUsual: 2_000, inFull: 18_000} {
		r.cell(when, fmt.Sprint("idle_", n, "/GET"), func(c *faultCell) { c.idle(n) })
	}
	for _, limit := range []int{64, 256} {
		for _, shape := range shapesOfAll {
			when := inUsual
			if limit == 64 && shape.name == shapePOST.name {
				when = inShort
			}
			r.cell(when, fmt.Sprintf("descriptors_%d/%s", limit, shape.name), func(c *faultCell) { c.fewDescriptors(limit, shape) })
		}
	}
}

// idle has another process hold connections: two ends of 18,000 are more than
// one may have.
func (c *faultCell) idle(n int) {
	o := c.origin(nil)
	c.start(defaultEnv(o.url()))
	c.served(c.do(shapeGET))
	c.takeBaseline()
	child := exec.Command(os.Args[0], "-test.run=^TestHoldConnections$", "-test.v")
	child.Env = append(os.Environ(), "FAULTS_HOLD="+strings.TrimPrefix(c.s.Data, "http://"), "FAULTS_HOLD_COUNT="+strconv.Itoa(n))
	stop, err := child.StdinPipe()
	if err != nil {
		c.Fatal(err)
	}
	log := &logBuffer{}
	child.Stdout, child.Stderr = log, log
	began := time.Now()
	if err := child.Start(); err != nil {
		c.Fatal(err)
	}
	defer func() { _ = stop.Close(); _ = child.Wait() }()
	for !strings.Contains(log.String(), "all are held") {
		if time.Since(began) > 50*time.Second {
			c.Fatalf("the connections do not come about: %s", log)
		}
		time.Sleep(20 * time.Millisecond)
	}
	took, held := time.Since(began), c.s.usage()
	one := c.do(shapeGET)
	c.served(one)
	c.figure("%d idle connections after %v: VmRSS %.1f MiB, %.1f before: %.1f KiB each; %d descriptors, %d threads; a request took %v", n, took.Round(time.Millisecond),
		mib(held.rss), mib(c.base.rss), float64(held.rss-c.base.rss)/float64(n)/1024, held.fds, held.threads, one.took.Round(time.Microsecond))
	const bound = 4096 // of one listener: beyond it the oldest make room
	if held.fds < min(n, bound) {
		c.Errorf("%d descriptors, want %d at least", held.fds, min(n, bound))
	}
	if each := (held.rss - c.base.rss) / int64(n); each > 32<<10 {
		c.Errorf("%d bytes of memory per idle connection, want at most 32 KiB", each)
	}
	_ = stop.Close()
	_ = child.Wait()
	c.recovers(time.Second, shapeGET)
	c.base.fds += 32 // upstream connections stay for their idle time
	c.backToBaseline(5 * time.Second)
}

// TestHoldConnections is the other process of the cells idle_*.
func TestHoldConnections(t *testing.T) {
	address, n := os.Getenv("FAULTS_HOLD"), 0
	if address == "" {
		t.Skip("a part of TestFaults")
	}
	n, _ = strconv.Atoi(os.Getenv("FAULTS_HOLD_COUNT"))
	conns := make([]net.Conn, n)
	var failed atomic.Int64
	atOnce(32, func(worker int) {
		for i := worker; i < n; i += 32 {
			conn, err := net.DialTimeout("tcp", address, 10*time.Second)
			if err == nil {
				sendGet(conn, "/v1/tags")
				_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
				_, err = readAnswer(conn)
			}
			if err != nil {
				failed.Add(1)
				t.Log(err)
				return
			}
			conns[i] = conn
		}
	})
	if failed.Load() > 0 {
		t.Fatal("not all came about")
	}
	fmt.Println("all are held")
	_, _ = os.Stdin.Read(make([]byte, 1))
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// fewDescriptors has more apps than the process may have descriptors. Go raises
// the soft limit to the hard one, so the hard one is lowered.
func (c *faultCell) fewDescriptors(limit int, shape faultShape) {
	prlimit, err := exec.LookPath("prlimit")
	if err != nil {
		c.Skip("no prlimit here")
	}
	o := c.origin(nil)
	c.s = startUnder(c.T, quickEnv(o.url()), prlimit, fmt.Sprintf("--nofile=%d:%d", limit, limit)).ready()
	c.served(c.do(shape))
	c.takeBaseline()
	apps := max(100, limit+50)
	conns := make([]net.Conn, 0, apps)
	for range apps {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(c.s.Data, "http://"), 5*time.Second)
		if err != nil {
			c.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		conns = append(conns, conn)
		nonce := fmt.Sprint("fault-", faultCounter.Add(1))
		head, body := shape.wire(nonce)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, head+body)
		c.remember(faultResult{shape: shape, nonce: nonce, err: errAppGone})
	}
	// More apps than it lets in: those that are in take what is theirs, and leave the rest.
	for began := time.Now(); time.Since(began) < time.Second; time.Sleep(50 * time.Millisecond) {
		if fds := c.s.usage().fds; fds > limit-4 || strings.Contains(c.s.log.String(), "too many open files") {
			c.Fatalf("%d of %d descriptors are taken, the admin listener and mints need some", fds, limit)
		}
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	took := c.recovers(1500*time.Millisecond, shape)
	c.figure("served again %v after the end of the load", took.Round(time.Millisecond))
	c.base.fds += limit / 2 // upstream connections stay for their idle time
	c.backToBaseline(2 * time.Second)
	select {
	case <-c.s.ended:
		c.Errorf("the process ended: %v", c.s.state)
	default:
	}
}
