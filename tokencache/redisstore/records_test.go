package redisstore

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

// onBoth runs a test with records in memory and with records in Redis.
func onBoth(t *testing.T, test func(t *testing.T, s *Records)) {
	t.Run("memory", func(t *testing.T) { test(t, newStore(Config{Credentials: creds}, newMemory()).Records(0)) })
	t.Run("redis", func(t *testing.T) { test(t, storeOn(t, "unix:"+realServer(t)).Records(time.Second)) })
}

func pending(keyed bool) writes.Record {
	return writes.Record{
		Claim: writes.NewID(), State: writes.Pending, Keyed: keyed, Fingerprint: writes.Name{7}, RequestID: "request-1", Method: "POST",
		Route: "/v1/payables/{payable_id}/approve_payment_operation", Lapse: time.Minute, TTL: time.Hour, Begun: time.Now().Truncate(time.Millisecond),
	}
}

func mustClaim(t testing.TB, s *Records, name writes.Name, mine writes.Record, over writes.ID) writes.Record {
	t.Helper()
	found, err := s.Claim(t.Context(), name, mine, over)
	wiretest.Must(t, err)
	return found
}

func mustLook(t testing.TB, s *Records, name writes.Name) writes.Record {
	t.Helper()
	found, ok, err := s.Look(t.Context(), name)
	if err != nil || !ok {
		t.Fatalf("Look() = %t, %v, want a record", ok, err)
	}
	return found
}

func TestRecordIsKeptFromClaimToSettling(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Records) {
		name, mine, other := writes.Name{1}, pending(true), pending(true)
		if _, ok, err := s.Look(t.Context(), name); ok || err != nil {
			t.Fatalf("Look() = %t, %v before anything", ok, err)
		}
		if got := mustClaim(t, s, name, mine, writes.ID{}); got.Claim != mine.Claim {
			t.Fatal("a free name is not claimed")
		}
		if got := mustClaim(t, s, name, mine, writes.ID{}); got.Claim != mine.Claim {
			t.Error("the same claim once more is another's")
		}
		got := mustClaim(t, s, name, other, writes.ID{})
		if got.Claim != mine.Claim || got.State != writes.Pending || !got.Keyed || got.Fingerprint != mine.Fingerprint ||
			got.RequestID != mine.RequestID || got.Route != mine.Route || !got.Begun.Equal(mine.Begun) {
			t.Errorf("in the way is %+v", got)
		}
		wiretest.Must(t, s.Release(t.Context(), name, other.Claim))
		mine.State, mine.Status, mine.Ended = writes.Answered, 201, time.Now()
		mine.Response = &writes.Response{Status: 201, Fields: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(`{"id":"1"}`)}
		wiretest.Must(t, s.Settle(t.Context(), name, mine))
		got = mustLook(t, s, name)
		if got.State != writes.Answered || got.Delivered || got.Status != 201 || got.Response == nil ||
			!bytes.Equal(got.Response.Body, mine.Response.Body) || got.Response.Fields["Content-Type"][0] != "application/json" {
			t.Errorf("settled: %+v", got)
		}
		// What is another claim's is not touched.
		other.State = writes.Unknown
		wiretest.Must(t, s.Settle(t.Context(), name, other))
		if got := mustLook(t, s, name); got.Claim != mine.Claim || got.State != writes.Answered {
			t.Errorf("after another's settling: %+v", got)
		}
		// A response that was not delivered stays, though somebody has found it delivered.
		if got := mustClaim(t, s, name, other, mine.Claim); got.Claim != mine.Claim {
			t.Error("a response is replaced that its app does not have")
		}
		mine.Delivered = true
		wiretest.Must(t, s.Settle(t.Context(), name, mine))
		// Replaced by who names it, and released by who made it.
		if got := mustClaim(t, s, name, other, mine.Claim); got.Claim != other.Claim {
			t.Error("a record is not replaced by who names its claim")
		}
		wiretest.Must(t, s.Release(t.Context(), name, other.Claim))
		if _, ok, _ := s.Look(t.Context(), name); ok {
			t.Error("a released record is there")
		}
	})
}

func TestResponseThatIsTooLongIsNotKept(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Records) {
		for size, kept := range map[int]bool{0: true, 1: true, 60 << 10: true, 64 << 10: false, 1 << 20: false} {
			name, mine := writes.Name{byte(size), byte(size >> 8), byte(size >> 16)}, pending(true)
			mustClaim(t, s, name, mine, writes.ID{})
			mine.State, mine.Status, mine.Response = writes.Answered, 200, &writes.Response{Status: 200, Body: make([]byte, size)}
			wiretest.Must(t, s.Settle(t.Context(), name, mine))
			got := mustLook(t, s, name)
			if (got.Response != nil) != kept || kept && len(got.Response.Body) != size || got.State != writes.Answered || got.Status != 200 {
				t.Errorf("%d bytes: kept %t, %s %d, want it kept: %t", size, got.Response != nil, got.State, got.Status, kept)
			}
		}
	})
}

// A process that died in the middle of a write leaves a record that is never free.
func TestClaimOfADeadProcessBecomesUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(Config{Credentials: creds}, newMemory()).Records(0)
		name, mine := writes.Name{1}, pending(true)
		mustClaim(t, s, name, mine, writes.ID{})
		time.Sleep(mine.Lapse)
		if got := mustLook(t, s, name); got.State != writes.Pending {
			t.Errorf("%s within its time", got.State)
		}
		time.Sleep(ms)
		if got := mustClaim(t, s, name, pending(true), writes.ID{}); got.Claim != mine.Claim || got.State != writes.Unknown {
			t.Errorf("%s after it, its own: %t", got.State, got.Claim == mine.Claim)
		}
		time.Sleep(mine.TTL - ms)
		if got := mustLook(t, s, name); got.State != writes.Unknown {
			t.Errorf("%s to the end of its TTL", got.State)
		}
		time.Sleep(2 * ms)
		if _, ok, _ := s.Look(t.Context(), name); ok {
			t.Error("it is there after its TTL")
		}
	})
}

// Otherwise a rotation of the secret would let each write be executed once more.
func TestRecordIsNotFreeAfterARotation(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(*writes.Record)
		want writes.Record
	}{
		{"pending", func(*writes.Record) {}, writes.Record{State: writes.Pending}},
		{"answered", func(r *writes.Record) { r.State = writes.Answered }, writes.Record{State: writes.Answered}},
		{"delivered", func(r *writes.Record) { r.State, r.Delivered = writes.Answered, true }, writes.Record{State: writes.Answered, Delivered: true}},
		{"unknown", func(r *writes.Record) { r.State = writes.Unknown }, writes.Record{State: writes.Unknown}},
		{"let go", func(r *writes.Record) { r.State = writes.LetGo }, writes.Record{State: writes.LetGo}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMemory()
			before := newStore(Config{Origin: "o", Credentials: creds}, m).Records(0)
			after := newStore(Config{Origin: "o", Credentials: pair{creds.id, "another-secret-of-some-length"}}, m).Records(0)
			name, mine := writes.Name{1}, pending(true)
			mustClaim(t, before, name, mine, writes.ID{})
			if tc.end(&mine); mine.State != writes.Pending {
				wiretest.Must(t, before.Settle(t.Context(), name, mine))
			}
			next := pending(true)
			got := mustClaim(t, after, name, next, writes.ID{})
			if got.Claim != mine.Claim || got.State != tc.want.State || got.Delivered != tc.want.Delivered || !got.Keyed ||
				got.Fingerprint != next.Fingerprint || got.Response != nil {
				t.Errorf("with another secret: %+v", got)
			}
			// The one who made it ends it under its new secret, too.
			wiretest.Must(t, after.Release(t.Context(), name, mine.Claim))
			if _, ok, _ := before.Look(t.Context(), name); ok {
				t.Error("it is not released")
			}
		})
	}
}

// A write that was certainly not executed leaves its name as it found it, also where that
// was under a record of which only the letter is known.
func TestRecordOfBeforeARotationIsPutBack(t *testing.T) {
	socket := realServer(t)
	records := func(secret string) *Records {
		return storeOn(t, "unix:"+socket, func(c *Config) { c.Credentials = pair{creds.id, secret} }).Records(time.Second)
	}
	journal := func(on *Records) *writes.Journal {
		return writes.New(writes.Config{Guard: time.Minute, Patience: 100 * ms, Shared: on})
	}
	const later = "another-secret-of-some-length"
	before, after := journal(records(creds.secret)), journal(records(later))
	w := writes.Write{Request: writes.Request{Method: "POST", Target: "/v1/x"}}
	first := before.Begin(t.Context(), &w).Claim
	first.Answered(201, nil)
	first.Delivered(true)
	after.Begin(t.Context(), &w).Claim.Release()
	if got := mustLook(t, records(later), w.Fingerprint()); got.State != writes.Answered || !got.Delivered {
		t.Errorf("it is %q, delivered: %t", got.State, got.Delivered)
	}
}

// noeviction is what docs/fleet.md asks for. With volatile-ttl the records of the repeat
// guard, which end first, are evicted for kept responses.
func TestServerThatIsFullForgetsNoRecord(t *testing.T) {
	socket := realServer(t)
	s, on := storeOn(t, "unix:"+socket).Records(time.Second), direct(t, socket)
	for policy, forgets := range map[string]bool{"noeviction": false, "volatile-ttl": true} {
		do(t, on, "FLUSHALL")
		do(t, on, "CONFIG", "SET", "maxmemory", "0")
		do(t, on, "CONFIG", "SET", "maxmemory-policy", policy)
		unknown := pending(false)
		mustClaim(t, s, writes.Name{1}, unknown, writes.ID{})
		unknown.State, unknown.TTL = writes.Unknown, 10*time.Minute
		wiretest.Must(t, s.Settle(t.Context(), writes.Name{1}, unknown))
		do(t, on, "CONFIG", "SET", "maxmemory", "8mb")
		full := 0
		for i := range 300 {
			name, mine := writes.Name{2, byte(i), byte(i >> 8)}, pending(true)
			mine.TTL = 24 * time.Hour
			_, err := s.Claim(t.Context(), name, mine, writes.ID{})
			mine.State, mine.Response = writes.Answered, &writes.Response{Body: make([]byte, 60<<10)}
			if err != nil || s.Settle(t.Context(), name, mine) != nil {
				full++
				s.breaker.succeed()
			}
		}
		do(t, on, "CONFIG", "SET", "maxmemory", "0")
		if _, there, err := s.Look(t.Context(), writes.Name{1}); err != nil || there == forgets || (full > 0) == forgets {
			t.Errorf("%s: the unknown write is there: %t, %v; %d of 300 were not taken", policy, there, err, full)
		}
	}
}

func TestPoisonedRecordIsNotFree(t *testing.T) {
	socket := realServer(t)
	s, on := storeOn(t, "unix:"+socket).Records(time.Second), direct(t, socket)
	name := writes.Name{1}
	key := s.rings.of(creds).record(name)
	mine := pending(true)
	mustClaim(t, s, name, mine, writes.ID{})
	good, _ := redis.String(on.Do("GET", key))
	for what, plant := range map[string][]any{
		"garbage": {"SET", key, "garbage"}, "a list": {"LPUSH", key, "x"},
		"another head": {"SET", key, "p" + strings.Repeat("z", 45) + good[headLen:]}, "200 kB": {"SET", key, strings.Repeat("x", 200_000)},
	} {
		do(t, on, "DEL", key)
		do(t, on, plant[0].(string), plant[1:]...)
		got, err := s.Claim(t.Context(), name, pending(true), writes.ID{})
		if err == nil {
			t.Errorf("%s: claimed, %+v", what, got)
		}
		s.breaker.succeed()
	}
	for what, value := range map[string]string{"a flipped bit": good[:headLen+20] + string(good[headLen+20]^1) + good[headLen+21:],
		"cut": good[:len(good)-1]} {
		do(t, on, "SET", key, value)
		if got := mustClaim(t, s, name, pending(true), writes.ID{}); got.Claim != mine.Claim || got.State != writes.Pending {
			t.Errorf("%s: %+v, want what its head says", what, got)
		}
	}
}

func TestNothingOfAResponseCanBeReadInRedis(t *testing.T) {
	socket := realServer(t)
	s, on := storeOn(t, "unix:"+socket).Records(time.Second), direct(t, socket)
	mine := pending(true)
	mustClaim(t, s, writes.Name{1}, mine, writes.ID{})
	mine.State, mine.Response = writes.Answered,
		&writes.Response{Status: 200, Body: []byte("canary-body"), Fields: map[string][]string{"Location": {"canary-field"}}}
	wiretest.Must(t, s.Settle(t.Context(), writes.Name{1}, mine))
	keys, _ := redis.Strings(on.Do("KEYS", "*"))
	for _, key := range keys {
		value, _ := redis.String(on.Do("GET", key))
		for _, text := range []string{"canary", "request-1", "payables", "POST", "\x07\x00\x00"} {
			if strings.Contains(key+value, text) {
				t.Errorf("%q stands in %q", text, key+value)
			}
		}
		if ttl, _ := redis.Int64(on.Do("PTTL", key)); ttl <= 0 || !strings.HasPrefix(key, "monite-proxy:1:{") {
			t.Errorf("%s ends in %d ms", key, ttl)
		}
	}
	if len(keys) != 1 {
		t.Errorf("%d keys", len(keys))
	}
}

// Whoever has given up will not send it: the name must not stay claimed.
func TestLateClaimOfAWriteClaimsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := newStore(Config{Credentials: creds}, m).Records(0)
		_, _, _ = s.Look(t.Context(), writes.Name{9}) // the clocks are known
		m.service = 3 * time.Second
		if _, err := s.Claim(t.Context(), writes.Name{1}, pending(true), writes.ID{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		m.service = 0
		if _, ok, err := s.Look(t.Context(), writes.Name{1}); ok || err != nil {
			t.Errorf("it is claimed (%t) by somebody who has gone; %v", ok, err)
		}
	})
}

// The claim was made, and its reply came too late: nothing is sent under it, and nobody
// may be told that something was.
func TestClaimWhoseReplyIsLateIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := newStore(Config{Credentials: creds}, m).Records(0)
		m.way = 90 * ms
		if _, err := s.Claim(t.Context(), writes.Name{1}, pending(false), writes.ID{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.breaker.succeed()
		if found, ok, err := s.Look(t.Context(), writes.Name{1}); ok || err != nil {
			t.Errorf("it is %s (%t), %v", found.State, ok, err)
		}
	})
}

// A keyed write fails without the store, so it tries again after a second; a token
// can wait.
func TestKeyedWriteTriesAServerThatFailedASecondAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		s := newStore(Config{Credentials: creds}, m).Records(0)
		m.down = &Error{Kind: "connect"}
		for range 20 {
			_, _ = s.Claim(t.Context(), writes.Name{1}, pending(true), writes.ID{})
			time.Sleep(time.Second)
		}
		m.down = nil
		if _, err := s.Claim(t.Context(), writes.Name{1}, pending(true), writes.ID{}); err != nil {
			t.Errorf("a second after the server is back: %v", err)
		}
	})
}

// journals of several replicas behind one app.
func journals(t *testing.T, n int, of func() *Records) (all []*writes.Journal) {
	t.Helper()
	for range n {
		all = append(all, writes.New(writes.Config{Guard: 10 * time.Minute, KeyTTL: 24 * time.Hour, Patience: time.Minute, Shared: of()}))
	}
	return all
}

func write(key, id string) *writes.Write {
	return &writes.Write{
		Request: writes.Request{GrantType: "entity_user", EntityUserID: "u", Method: "POST", Target: "/v1/payables", Length: 2, Head: []byte("{}")},
		Key:     key, RequestID: id, Route: "/v1/payables",
	}
}

func TestReplicasBehindOneAppBehaveAsOne(t *testing.T) {
	for _, key := range []string{"a-key", ""} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			m.service, m.way = 70*time.Microsecond, 300*time.Microsecond
			replicas := journals(t, 4, func() *Records { return newStore(Config{Credentials: creds}, m).Records(0) })
			var executed, replayed atomic.Int64
			var all sync.WaitGroup
			for i := range 40 {
				all.Go(func() {
					d := replicas[i%len(replicas)].Begin(t.Context(), write(key, "request"))
					switch d.Verdict {
					case writes.Send:
						executed.Add(1)
						time.Sleep(300 * ms)
						d.Claim.Answered(201, &writes.Response{Status: 201, Body: []byte("made")})
						d.Claim.Delivered(false) // the app had gone
					case writes.Replay:
						replayed.Add(1)
						if string(d.Earlier.Response.Body) != "made" {
							t.Errorf("replayed %q", d.Earlier.Response.Body)
						}
					}
				})
			}
			all.Wait()
			if executed.Load() != 1 || replayed.Load() == 0 {
				t.Errorf("key %q: executed %d times, replayed %d times, want 1 and some", key, executed.Load(), replayed.Load())
			}
		})
	}
}
