package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// pay sends a write for a document. Upstream executes it each time that it comes.
func pay(s *sidecar, document string, pairs ...string) (answer, error) {
	return s.call("POST", "/v1/payables", `{"document_id":"`+document+`"}`,
		append(pairs, "X-Monite-Entity-Id", monitetest.DemoEntityID, "Content-Type", "application/json")...)
}

// TestWriteOfAKilledReplicaStaysUnknown: between the write and its response the
// process is gone, and nobody can know any more. The key must not be free.
func TestWriteOfAKilledReplicaStaysUnknown(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	f := startReplicas(t, 2, redis.url(), "MONITE_UPSTREAM_TIMEOUT", "2s")
	write := func(s *sidecar, id string) (answer, error) {
		return pay(s, "a", "Idempotency-Key", "pay-once", "X-Request-Id", id)
	}
	f.sim.Inject(monitetest.Fault{Method: "POST", Path: "/v1/payables", After: true, Times: 1, Effect: monitetest.EffectDelay,
		Delay: monitetest.Duration(10 * time.Second)})
	go func() { _, _ = write(f.all[0], "first") }()
	wiretest.Eventually(t, "the write at upstream", func() bool { return f.sim.Stats().Writes > 0 })
	_ = f.all[0].cmd.Process.Kill()
	before := f.sim.Stats().Writes
	a, err := write(f.all[1], "second")
	if err != nil || a.Status != http.StatusConflict {
		t.Errorf("while the claim counts: %d %s, %v, want 409", a.Status, a.Body, err)
	}
	f.sim.ClearFaults()
	// MONITE_UPSTREAM_TIMEOUT and its margin later it is unknown, and still not free.
	if wiretest.Long {
		time.Sleep(35 * time.Second)
		a, err = write(f.all[1], "third")
		if err != nil || a.Status != http.StatusConflict || a.Header.Get("X-Monite-Proxy-Outcome") != "unknown" {
			t.Errorf("after it: %d %s, %v, want 409 unknown", a.Status, a.Body, err)
		}
	}
	if n := f.sim.Stats().Writes; n != before {
		t.Errorf("%d writes were executed, want 1", n)
	}
}

// TestReplicasBehindOneAppBehaveAsOne: the app's second try goes to another replica.
func TestReplicasBehindOneAppBehaveAsOne(t *testing.T) {
	t.Parallel()
	f := startReplicas(t, 3, startRedis(t).url())
	for i := range 3 {
		key := fmt.Sprintf("key-%d", i)
		var wg sync.WaitGroup
		var replayed atomic.Int64
		bodies := make([]string, len(f.all))
		for j, s := range f.all {
			wg.Go(func() {
				a, err := pay(s, key, "Idempotency-Key", key)
				if err != nil || a.Status >= 300 {
					t.Errorf("%s: %d %s, %v", key, a.Status, a.Body, err)
				}
				if a.Header.Get("Idempotent-Replayed") == "true" {
					replayed.Add(1)
				}
				bodies[j] = a.Body
			})
		}
		wg.Wait()
		if replayed.Load() != 2 || bodies[0] != bodies[1] || bodies[1] != bodies[2] {
			t.Errorf("%s: %d replayed, bodies %q, want 2 and all the same", key, replayed.Load(), bodies)
		}
	}
	if n := f.sim.Stats().Writes; n != 3 {
		t.Errorf("%d writes were executed, want 3", n)
	}
}

// An app that was busy finds that its time is over when the response has come already: Node
// runs timers before it reads. It gives the connection up and repeats at once, without a key,
// at another replica. Upstream executes the write once, and the repeat gets its response.
func TestResponseThatWasNotReadIsGivenByAnotherReplica(t *testing.T) {
	t.Parallel()
	f := startReplicas(t, 2, startRedis(t).url())
	f.callAll()
	for i := range 5 {
		body := fmt.Sprintf(`{"document_id":"%d"}`, i)
		conn := f.all[i%2].dial()
		_, err := fmt.Fprintf(conn, "POST /v1/payables HTTP/1.1\r\nHost: localhost\r\nX-Monite-Entity-Id: %s\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n\r\n%s", monitetest.DemoEntityID, len(body), body)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 1)
		if _, err := conn.Read(first); err != nil { // it is here, the rest unread
			t.Fatal(err)
		}
		time.Sleep(time.Duration(4*i) * time.Millisecond)
		_ = conn.Close()
		a, err := pay(f.all[(i+1)%2], fmt.Sprint(i))
		if err != nil || a.Status >= 300 || a.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("repeat %d: %d, replayed %q, %v", i, a.Status, a.Header.Get("Idempotent-Replayed"), err)
		}
	}
	if n := f.sim.Stats().Writes; n != 5 {
		t.Errorf("%d writes were executed, want 5", n)
	}
}

func TestKeyedWriteIsNotSentWithoutTheStore(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	f := startReplicas(t, 1, redis.url())
	redis.kill()
	a, err := pay(f.all[0], "a", "Idempotency-Key", "k")
	if err != nil || a.Status != http.StatusServiceUnavailable || !strings.Contains(a.Body, "proxy_idempotency_unavailable") ||
		a.Header.Get("X-Monite-Proxy-Outcome") != "not_sent" || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v, %v, want 503 not_sent", a.Status, a.Body, a.Header, err)
	}
	if a, err = pay(f.all[0], "b"); err != nil || a.Status >= 300 {
		t.Errorf("without a key: %d %s, %v", a.Status, a.Body, err)
	}
	if n := f.sim.Stats().Writes; n != 1 {
		t.Errorf("%d writes were executed, want 1", n)
	}
}

// keyBook says when each idempotency key was tried, and when what was known of keys was
// thrown away.
type keyBook struct {
	mu     sync.Mutex             // guards what follows
	tries  map[string][]time.Time // their beginnings and ends
	losses [][2]time.Time
}

func (b *keyBook) try(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries[key] = append(b.tries[key], time.Now())
}

// lose notes that records were lost at some time since then.
func (b *keyBook) lose(since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.losses = append(b.losses, [2]time.Time{since, time.Now()})
}

// twice tells of the keys that upstream has executed more than once: for no reason, and
// with a loss between their first try and their last.
func (b *keyBook) twice(executed map[string]int) (wrong []string, excused int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, n := range executed {
		if n < 2 {
			continue
		}
		tries := b.tries[key]
		if slices.ContainsFunc(b.losses, func(loss [2]time.Time) bool { return loss[1].After(tries[0]) && loss[0].Before(tries[len(tries)-1]) }) {
			excused++
			continue
		}
		text := key + ":"
		for _, at := range tries {
			text += at.Format(" 15:04:05.000")
		}
		wrong = append(wrong, text)
	}
	return wrong, excused
}

// newChaos makes one of FLEET_CHAOS minutes, with 30 sidecars and two servers, or one in
// which each fault happens once, with six and one, which cannot fail over.
func newChaos(t *testing.T) (c *chaos, length time.Duration) {
	// What a kill may take away would be worth a flush.
	options := []string{"--appendonly", "yes", "--appendfsync", "always"}
	// A try waits for that of a sidecar that was killed for as long as upstream may take.
	settings := []string{"MONITE_LOG_LEVEL", "info", "MONITE_UPSTREAM_TIMEOUT", "5s", "MONITE_REDIS_TIMEOUT", ""}
	c = &chaos{random: rand.New(rand.NewPCG(7, 7)), book: &keyBook{tries: map[string][]time.Time{}}, faults: faults,
		killed: map[*sidecar]bool{}, minted: time.Now(), haste: 1}
	text := os.Getenv("FLEET_CHAOS")
	if text == "" {
		c.master = startRedis(t, options...)
		c.replicas = startReplicas(t, 6, c.master.url(), settings...)
		c.faults = slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.name == "failed over" })
		c.haste = 4
		return c, 0
	}
	minutes, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("FLEET_CHAOS = %q, want minutes", text)
	}
	c.master, c.second, c.url = startSentinels(t, chaosDeadAfter, options...)
	c.replicas = startReplicas(t, 30, c.url, settings...)
	return c, time.Duration(minutes * float64(time.Minute))
}

// fault does something to the store of a fleet or to its tokens.
type fault struct {
	name string
	do   func(c *chaos)
}

// chaos is a fleet on two servers with Sentinels, and what happens to it.
type chaos struct {
	*replicas
	random         *rand.Rand
	faults         []fault
	master, second *redisServer
	url            string // of the store
	book           *keyBook
	minted         time.Time // a token, at the latest
	failovers      int
	haste          time.Duration // pauses are that many times shorter

	mu      sync.Mutex // guards what follows, and the sidecars
	writing *sidecar   // the last that was given a write
	killed  map[*sidecar]bool

	reads, writes, failed, unsent, refused, lost, serial atomic.Int64
}

// at is the sidecar of the app i.
func (c *chaos) at(i int) *sidecar {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[i]
}

// wasKilled reports whether an error is that of an app whose sidecar has died.
func (c *chaos) wasKilled(s *sidecar, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return err != nil && c.killed[s]
}

// After this time without a response, the Sentinels replace the master.
const chaosDeadAfter = 3 * time.Second

var faults = []fault{
	{"killed", func(c *chaos) {
		c.master.kill()
		c.pause(1500 * time.Millisecond)
		c.master.restart()
	}},
	{"stopped", func(c *chaos) {
		c.master.signal(syscall.SIGSTOP)
		c.pause(2 * time.Second)
		c.master.signal(syscall.SIGCONT)
	}},
	{"failed over", func(c *chaos) {
		// What the master had not passed on is lost with it, as in a flush.
		began := time.Now()
		killed := c.master
		killed.kill()
		c.book.lose(began)
		// Sentinels that have just changed something may not do so again: then it comes back.
		for deadline := time.Now().Add(20 * time.Second); c.master == killed && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			if c.second.leads() {
				c.failovers++
				c.master, c.second = c.second, killed
			}
		}
		c.agreed()
		killed.restart()
	}},
	{"flushed", func(c *chaos) {
		began := time.Now()
		c.master.cli("flushall")
		c.book.lose(began)
	}},
	{"poisoned", func(c *chaos) {
		c.master.cli("eval", "for _, key in ipairs(redis.call('keys', ARGV[1])) do redis.call('set', key, 'poison') end", "0", "*}:[tlvcgw]*")
	}},
	{"refusing", func(c *chaos) {
		c.master.cli("acl", "setuser", "default", "-eval", "-evalsha")
		c.pause(time.Second)
		c.master.cli("acl", "setuser", "default", "+@all")
	}},
	{"full", func(c *chaos) {
		c.master.cli("config", "set", "maxmemory", "1")
		c.pause(time.Second)
		c.master.cli("config", "set", "maxmemory", "0")
	}},
	{"sidecar killed", func(c *chaos) {
		c.pause(150 * time.Millisecond)
		c.mu.Lock()
		i := max(slices.Index(c.all, c.writing), 0)
		killed := c.all[i]
		c.killed[killed] = true
		_ = killed.cmd.Process.Kill()
		c.mu.Unlock()
		next := start(c.t, c.env).ready()
		c.mu.Lock()
		c.all[i] = next
		c.mu.Unlock()
		c.minted = time.Now()
	}},
	{"revoked", func(c *chaos) {
		// A token that is revoked in its first second may cost a replica a 401.
		time.Sleep(time.Until(c.minted.Add(1200 * time.Millisecond)))
		c.sim.RevokeAll()
		c.minted = time.Now()
	}},
}

// agreed waits until every Sentinel names the master. With the other one back before, there
// would be two: replicas that asked different Sentinels would not see each other's records.
func (c *chaos) agreed() {
	sentinels, _, _ := strings.Cut(strings.TrimPrefix(c.url, "redis+sentinel://"), "/")
	for _, at := range strings.Split(sentinels, ",") {
		wiretest.Eventually(c.t, "the Sentinel at "+at+" naming the master", func() bool {
			out, _ := exec.Command("redis-cli", "-p", portOf(at), "sentinel", "get-master-addr-by-name", "tokens").Output()
			return strings.HasPrefix(string(out), c.master.host+"\n")
		})
	}
}

// pair waits until one server follows the other. On a busy machine the Sentinels may
// change their minds meanwhile, and with what the other has not got, records are lost.
func (c *chaos) pair(since time.Time) {
	if c.second == nil {
		return
	}
	for range 600 {
		switch {
		case !c.master.leads() && c.second.leads():
			c.book.lose(since) // a kill that took too long on a busy machine was a failover
			c.master, c.second = c.second, c.master
		case c.second.follows():
			return
		case c.second.leads():
			_, _ = c.second.try("replicaof", c.master.host, c.master.port)
		}
		time.Sleep(200 * time.Millisecond)
	}
	c.t.Fatal("no server follows the other")
}

// pause lets a fault last, at most for the given time, or for a part of it in haste.
func (c *chaos) pause(most time.Duration) {
	time.Sleep(time.Duration(c.random.Int64N(int64(most))) / c.haste)
}

// load calls one sidecar until the end: reads, and now and then a write with a key, which
// is sent once more to another sidecar.
func (c *chaos) load(ctx context.Context, i int) {
	random := rand.New(rand.NewPCG(uint64(i), 1))
	for ctx.Err() == nil {
		if random.IntN(4) > 0 {
			c.reads.Add(1)
			s := c.at(i)
			if a, err := s.call("GET", "/v1/entities?limit=1", ""); (err != nil || a.Status != http.StatusOK) && !c.wasKilled(s, err) {
				c.failed.Add(1)
				c.t.Errorf("a read failed at %s: %d %s, %v", time.Now().Format(time.StampMilli), a.Status, a.Body, err)
			}
		} else {
			key := fmt.Sprintf("key-%d", c.serial.Add(1))
			c.write(c.at(i), key)
			c.write(c.at(random.IntN(len(c.all))), key)
		}
		time.Sleep(time.Duration(random.IntN(25*len(c.all))) * time.Millisecond)
	}
}

func (c *chaos) write(s *sidecar, key string) {
	c.writes.Add(1)
	c.mu.Lock()
	c.writing = s
	c.mu.Unlock()
	c.book.try(key)
	defer c.book.try(key)
	a, err := pay(s, key, "Idempotency-Key", key, "X-Sim-Nonce", key)
	switch {
	case err == nil && a.Status < 300: // by this sidecar or, before, by the other
	case err == nil && a.Status == http.StatusServiceUnavailable && a.Header.Get("X-Monite-Proxy-Outcome") == "not_sent":
		c.unsent.Add(1) // the one thing that sharing costs
	case err == nil && a.Status == http.StatusConflict:
		c.refused.Add(1) // claimed, and the store or the sidecar was gone when that was to be settled
	case c.wasKilled(s, err):
		c.lost.Add(1)
	default:
		c.failed.Add(1)
		c.t.Errorf("a write failed at %s: %d %s, %v", time.Now().Format(time.StampMilli), a.Status, a.Body, err)
	}
}

// Sidecars that share, under load, while their store is killed, stopped, flushed, poisoned
// and so on: no read fails, no key is executed twice, and nothing secret is stored.
func TestFleetChaos(t *testing.T) {
	t.Parallel()
	c, length := newChaos(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait() // also where something here is fatal
	defer cancel()
	for i := range c.all {
		wg.Go(func() { c.load(ctx, i) })
	}
	rounds, ends := 0, time.Now().Add(length)
	for ; rounds == 0 || time.Now().Before(ends); rounds++ {
		for _, i := range c.random.Perm(len(c.faults)) {
			began := time.Now()
			c.faults[i].do(c)
			c.pair(began)
			t.Logf("%s: %s, for %v", began.Format(time.TimeOnly), c.faults[i].name, time.Since(began).Round(time.Millisecond))
			time.Sleep(300 * time.Millisecond)
			c.pause(1500 * time.Millisecond)
		}
	}
	cancel()
	wg.Wait()
	executed := c.sim.Stats()
	twice, excused := c.book.twice(executed.Executed)
	if len(executed.Executed) == 0 || executed.Writes < len(executed.Executed) {
		t.Errorf("upstream has executed %d keys in %d writes", len(executed.Executed), executed.Writes)
	}
	if len(twice) > 0 {
		t.Errorf("executed twice although no record was lost, with the beginnings and ends of their tries: %s", strings.Join(twice, "; "))
	}
	c.lookForSecrets()
	t.Logf("%v with %d sidecars: %d reads and %d writes, %d failed, %d lost with a sidecar, %d not sent for want of the store, %d refused because a record was not settled; "+
		"%d mints; %d keys executed twice after a flush or a failover; %d failovers; each fault %d times",
		length, len(c.all), c.reads.Load(), c.writes.Load(), c.failed.Load(), c.lost.Load(), c.unsent.Load(), c.refused.Load(), c.sim.Stats().Mints,
		excused, c.failovers, rounds)
}

// lookForSecrets reads all that both servers hold.
func (c *chaos) lookForSecrets() {
	dump := c.master.dump()
	if c.second != nil {
		dump += c.second.dump()
	}
	if !strings.Contains(dump, ":i:") {
		c.t.Error("nothing is stored at the end")
	}
	tokens := map[string]bool{}
	for _, r := range c.sim.Requests() {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			tokens[token] = true
		}
	}
	for token := range tokens {
		if strings.Contains(dump, token) {
			c.t.Error("a token stands in Redis")
		}
	}
	if strings.Contains(dump, monitetest.DemoClientSecret) || strings.Contains(dump, "document_id") {
		c.t.Error("a secret or a response stands in Redis")
	}
}
