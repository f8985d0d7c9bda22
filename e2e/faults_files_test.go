package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func faultsSecretFiles(r *faultRun) {
	absent := func(string) {}
	text := func(value string) func(string) {
		return func(path string) { _ = os.WriteFile(path, []byte(value), 0o600) }
	}
	states := map[string]func(path string){
		"absent":           absent,
		"empty":            text(""),
		"white_space":      text(" \n"),
		"a_directory":      func(path string) { _ = os.Mkdir(path, 0o700) },
		"over_64KiB":       text(strings.Repeat("x", 65<<10)),
		"binary":           text("\x00\x01\x02\xff"),
		"two_lines":        text("one\ntwo\n"),
		"dangling_link":    func(path string) { _ = os.Symlink(path+".gone", path) },
		"link_to_itself":   func(path string) { _ = os.Symlink(path, path) },
		"EIO":              func(path string) { _ = os.Symlink("/proc/self/mem", path) },
		"endless":          func(path string) { _ = os.Symlink("/dev/zero", path) },
		"a_pipe":           func(path string) { _ = syscall.Mkfifo(path, 0o600) },
		"no_permission":    func(path string) { _ = os.WriteFile(path, []byte("x"), 0) },
		"byte_order_mark":  text("\ufeff" + monitetest.DemoClientSecret),
		"carriage_returns": text("a\r\nb\r\n"),
	}
	for _, name := range sortedNames(states) {
		if name == "no_permission" && os.Getuid() == 0 {
			// Root reads it all the same.
			r.cell(inUsual, "start_"+name, func(c *faultCell) { c.Skip("this user may read everything") })
			continue
		}
		when := inUsual
		if name == "absent" || name == "a_directory" {
			when = inShort
		}
		r.cell(when, "start_"+name, func(c *faultCell) {
			path := filepath.Join(c.TempDir(), "secret")
			states[name](path)
			began := time.Now()
			code, output := runCommand(c.T, defaultEnv("http://127.0.0.1:1").with("MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE", path))
			if took := time.Since(began); code != 2 || took > time.Second || !strings.Contains(output, "MONITE_CLIENT_SECRET_FILE") {
				c.Errorf("exit code = %d after %v, want 2 within 1 s\n%s", code, took, output)
			}
		})
		r.each(when, "running_"+name, shapesShort, func(c *faultCell, shape faultShape) {
			sim, url := c.simulate(monitetest.Config{})
			path := filepath.Join(c.TempDir(), "secret")
			text(monitetest.DemoClientSecret + "\n")(path)
			c.start(defaultEnv(url).with("MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE", path))
			c.served(c.do(shape))
			_ = os.Remove(path)
			states[name](path)
			c.s.waitLogged("secret file cannot be used; the old value stays in use")
			oldEnough()
			sim.RevokeAll()
			c.served(c.do(shape)) // a mint with the old value
			if metrics := c.s.admin("GET", "/metrics").Body; !strings.Contains(metrics, `monite_proxy_secret_reloads_total{result="failed"}`) {
				c.Error("the failure is not counted")
			}
			_ = os.Remove(path)
			text(monitetest.DemoClientSecret)(path)
			oldEnough()
			sim.RevokeAll()
			c.served(c.do(shape))
		})
	}
	// A rotation under load: both secrets are good for a while, and the file is
	// swapped as the kubelet does, written in pieces, or renamed over.
	for _, name := range []string{"link_swap", "partial_write", "rename_over"} {
		r.each(inUsual, "rotate_"+name, shapesShort, func(c *faultCell, shape faultShape) {
			next := strings.Repeat("n", 36)
			sim, url := c.simulate(monitetest.Config{ExtraCredentials: []monitetest.Credentials{{ClientID: monitetest.DemoClientID, ClientSecret: next}}})
			directory := c.TempDir()
			secrets := []string{monitetest.DemoClientSecret, next}
			mountSecret(c.T, directory, secrets[0])
			c.start(defaultEnv(url).with("MONITE_CLIENT_SECRET", "", "MONITE_CLIENT_SECRET_FILE", directory+"/secret"))
			stop := goOn(c.T, 4, func(int, int) {
				<-time.After(5 * time.Millisecond)
				c.served(c.do(shape))
			})
			for i := 1; i < 5; i++ {
				value := secrets[i%2]
				switch name {
				case "link_swap":
					mountSecret(c.T, directory, value)
				case "rename_over":
					put(c.T, directory+"/secret", value)
				case "partial_write":
					file, err := os.OpenFile(directory+"/..data/secret", os.O_WRONLY|os.O_TRUNC, 0)
					if err != nil {
						c.Fatal(err)
					}
					for _, piece := range []string{value[:10], value[10:]} {
						time.Sleep(50 * time.Millisecond)
						_, _ = file.WriteString(piece)
					}
					_ = file.Close()
				}
				time.Sleep(1200 * time.Millisecond) // a token younger than a second is not replaced
				sim.RevokeAll()
			}
			oldEnough()
			stop()
		})
	}
}

// startLogging starts the sidecar on addresses that are known before, since
// nobody reads its log.
func (c *faultCell) startLogging(url string, stderr *os.File, pairs ...string) {
	e := defaultEnv(url).with("MONITE_LISTEN_ADDR", ownPort(c.T), "MONITE_ADMIN_ADDR", ownPort(c.T)).with(pairs...)
	c.s = startWriting(c.T, e, stderr)
	c.s.Data, c.s.Admin = "http://"+e["MONITE_LISTEN_ADDR"], "http://"+e["MONITE_ADMIN_ADDR"]
	c.s.ready()
}

// Whatever becomes of the log, requests go on, and the process ends when told.
func faultsLog(r *faultRun) {
	const n = 1500 // more lines than a pipe holds
	logs := map[string]func(c *faultCell) *os.File{
		"reader_gone": func(c *faultCell) *os.File {
			ours, theirs, err := os.Pipe()
			if err != nil {
				c.Fatal(err)
			}
			_ = ours.Close()
			return theirs
		},
		"reader_blocked": func(c *faultCell) *os.File {
			ours, theirs, err := os.Pipe()
			if err != nil {
				c.Fatal(err)
			}
			c.Cleanup(func() { _ = ours.Close() })
			return theirs
		},
		// Every write says ENOSPC, as on a full disk.
		"disk_full": func(c *faultCell) *os.File {
			file, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				c.Skip("no /dev/full here: ", err)
			}
			return file
		},
	}
	for _, name := range sortedNames(logs) {
		r.each(inUsual, name, shapesShort, func(c *faultCell, shape faultShape) {
			o := c.origin(nil)
			file := logs[name](c)
			c.startLogging(o.url(), file)
			_ = file.Close()
			c.served(c.do(shape))
			took := make([]time.Duration, 0, n)
			for i := range n {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				began := time.Now()
				nonce := newNonce()
				a, err := request(ctx, shape.method, c.s.Data+shape.path(nonce), shape.body, "X-Sim-Nonce", nonce, "X-Request-Id", strings.Repeat("x", 128))
				cancel()
				took = append(took, time.Since(began))
				if _, executed := o.count(nonce); err != nil || a.Status != http.StatusOK || executed != 1 {
					c.Fatalf("request %d: %d %v after %v, executed %d times: the log stops the work", i, a.Status, err, time.Since(began), executed)
				}
			}
			slices.Sort(took)
			c.figure("%d requests: p50 %v, p99 %v, slowest %v", n, took[n/2], took[n*99/100], took[n-1])
			if p99 := took[n*99/100]; p99 > 250*time.Millisecond {
				c.Errorf("p99 = %v", p99)
			}
			c.s.signal(syscall.SIGTERM)
			c.s.ends(0, 5*time.Second)
		})
	}
}

func faultsSmall(r *faultRun) {
	apps, rounds := 100, 5
	if faultsAll {
		rounds = 20
	}
	r.each(inShort, "one_processor_32MiB", shapesOfAll, func(c *faultCell, shape faultShape) {
		c.warm(shape, defaultEnv, "GOMAXPROCS", "1", "GOMEMLIMIT", "32MiB")
		atOnce(apps, func(int) {
			for range rounds {
				c.served(c.do(shape))
			}
		})
		c.figure("%d requests over %d apps: VmHWM %.1f MiB", apps*rounds, apps, mib(c.s.peakMemory()))
		if peak := c.s.peakMemory(); peak > 64<<20 {
			c.Errorf("VmHWM = %.1f MiB, want at most 64", mib(peak))
		}
	})
	// A tenth of a processor, as a container's quota gives it: 10 ms of every 100.
	r.each(inUsual, "a_tenth_of_a_processor", shapesShort, func(c *faultCell, shape faultShape) {
		c.upstream(defaultEnv, "GOMAXPROCS", "1")
		stop := goOn(c.T, 1, func(int, int) {
			_ = c.s.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(90 * time.Millisecond)
			_ = c.s.cmd.Process.Signal(syscall.SIGCONT)
			time.Sleep(10 * time.Millisecond)
		})
		atOnce(20, func(int) {
			for range 5 {
				c.served(c.do(shape))
			}
		})
		stop()
		c.recovers(time.Second, shape)
	})
}

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
	c.warm(shapeGET, defaultEnv)
	child := exec.Command(os.Args[0], "-test.run=^TestHoldConnections$", "-test.v")
	child.Env = append(os.Environ(), "FAULTS_HOLD="+strings.TrimPrefix(c.s.Data, "http://"), "FAULTS_HOLD_COUNT="+strconv.Itoa(n))
	stop, err := child.StdinPipe()
	if err != nil {
		c.Fatal(err)
	}
	log := &wiretest.Buffer{}
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
	c.figure("%d idle connections after %v: VmRSS %.1f MiB, %.1f before: %.1f KiB each; %d descriptors, %d threads; a request took %v", n,
		took.Round(time.Millisecond),
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
		nonce := newNonce()
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
