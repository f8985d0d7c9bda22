package redisstore

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

var differentialSeed = flag.Uint64("differential.seed", 0, "seed of TestMemoryDoesWhatRedisDoes; 0: a new one each time")

// Without this, what the fleet in a bubble shows says nothing of Redis.
func TestMemoryDoesWhatRedisDoes(t *testing.T) {
	calls := 5_000
	if text := os.Getenv("DIFFERENTIAL_CALLS"); text != "" {
		calls, _ = strconv.Atoi(text)
	}
	seed := *differentialSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-differential.seed=%d", seed)
	on := direct(t, realServer(t))
	d := &differential{t: t, on: on, memory: newMemory(), random: rand.New(rand.NewPCG(seed, 0)), kinds: map[string]int{}}
	for n := range calls {
		if n%50 == 0 { // another grant
			d.keys = nil
			for _, letter := range []string{"t", "l", "v", "c", "g", "w", "i"} {
				d.keys = append(d.keys, fmt.Sprintf("k:%d:%s", n, letter))
			}
		}
		d.step()
		if t.Failed() {
			t.Fatalf("after %d calls", n)
		}
	}
	t.Logf("%d calls: %v", calls, d.kinds)
	for _, kind := range []string{"token", "verdict", "pause", "busy", "free", "late", "paced", "claimed", "stored", "older", "ok", "mine",
		"there", "other", "WRONGTYPE"} {
		if d.kinds[kind] < calls/1000 {
			t.Errorf("%d answers are %s: the calls show too little", d.kinds[kind], kind)
		}
	}
}

type differential struct {
	t      *testing.T
	on     redis.Conn
	memory *memory
	random *rand.Rand
	keys   []string
	leases []string
	kinds  map[string]int
}

// pick returns one of several.
func (d *differential) pick(of ...string) string { return of[d.random.IntN(len(of))] }

func (d *differential) value() string {
	born := time.Now().UnixMilli() + int64(d.random.IntN(400)-200)
	return fmt.Sprintf("%013d%012d%s", born, d.random.IntN(3), strings.Repeat("x", d.random.IntN(40)))
}

func (d *differential) step() {
	switch n := d.random.IntN(28); {
	case n < 1:
		time.Sleep(time.Duration(d.random.IntN(8)) * time.Millisecond)
	case n < 4:
		d.plant()
	case n < 12:
		d.same(askScript, d.keys[:6], d.question()...)
	case n < 16:
		d.same(tellScript, []string{d.keys[0], d.keys[1], d.keys[2]},
			d.lease(), d.value(), time.Now().UnixMilli()+int64(d.random.IntN(20000)), d.pick("2", "30", "1000"))
	case n < 20:
		d.record()
	case n < 24:
		d.same(lookScript, d.keys[6:])
	default:
		d.same(failedScript, []string{d.keys[1], d.keys[2+d.random.IntN(2)]}, d.lease(), d.pick("0", "2", "250"),
			d.pick("", "verdict1", "verdict2"), d.pick("3", "50", "5000"))
	}
}

func (d *differential) question() []any {
	have, lease := "", ""
	if current := d.memory.data[d.keys[0]].value; current != "" && d.random.IntN(3) > 0 {
		have = current[:min(len(current), 25)]
	}
	if d.random.IntN(4) > 0 {
		lease = strconv.Itoa(d.random.IntN(1000))
		d.leases = append(d.leases, lease)
	}
	end := d.pick("0", "1", strconv.FormatInt(time.Now().UnixMilli()+5000, 10))
	emission := d.pick("0", "50000", "20000")
	return []any{
		have, d.pick("0", "1"), lease, d.pick("3", "40", "1000"), emission, d.pick("0", "60000", "100000"), "100000",
		d.pick("", "verdict1", "junk"), d.pick("", "verdict2", "junk"), d.pick("0", "0", "1"), end,
	}
}

// record claims, settles or releases a write record.
func (d *differential) record() {
	claims := []string{strings.Repeat("a", 32), strings.Repeat("b", 32), strings.Repeat("0", 32)}
	if d.random.IntN(2) == 0 {
		end := d.pick("0", "0", "1", strconv.FormatInt(time.Now().UnixMilli()+5000, 10))
		d.same(claimScript, d.keys[6:], d.pick(claims[:2]...), d.pick(claims...), d.pick("", "sealed"), d.pick("3", "40", "5000"), d.pick("2", "5000"), end)
		return
	}
	settled := d.pick(claims[:2]...)
	d.same(settleScript, d.keys[6:], settled, d.pick("", "a"+settled+"0000000000000rest"), d.pick("3", "5000"))
}

func (d *differential) lease() string {
	if len(d.leases) > 0 && d.random.IntN(4) > 0 {
		return d.leases[len(d.leases)-1]
	}
	return "nobody's"
}

// plant puts into a key what nobody of ours would.
func (d *differential) plant() {
	key := d.keys[d.random.IntN(len(d.keys))]
	now := time.Now()
	do(d.t, d.on, "DEL", key)
	delete(d.memory.data, key)
	if d.random.IntN(6) == 0 {
		do(d.t, d.on, "LPUSH", key, "x")
		d.memory.data[key] = held{list: true}
		return
	}
	value := d.pick("", "junk", "nan", "0x10", "1e9", "-5", "12 ", "100000000000000000000", "9999999999999xxxxxxxxxxxx", d.value(),
		strconv.FormatInt(now.UnixMicro()+40000, 10), "5", "9000")
	h := held{value: value}
	if d.random.IntN(3) > 0 {
		lasts := []int64{3, 60, 4000, 70000}[d.random.IntN(4)]
		do(d.t, d.on, "SET", key, value, "PX", lasts)
		h.ends, _ = redis.Int64(d.on.Do("PEXPIRETIME", key))
		if h.ends < 0 {
			return // over already
		}
	} else {
		do(d.t, d.on, "SET", key, value)
	}
	d.memory.data[key] = h
}

// same runs a script in both. The server's moment is not known exactly, so any from
// before the call to after it will do, and a little around it for what came before.
func (d *differential) same(s *script, keys []string, args ...any) {
	before := time.Now().UnixMicro()
	real, err := s.direct(d.on, keys, args...)
	if err != nil && strings.Contains(err.Error(), "WRONGTYPE") {
		real = wrongType
	} else if err != nil {
		d.t.Fatalf("%s: %v", s.name, err)
	}
	after := time.Now().UnixMicro()
	seen := d.look()
	start := maps.Clone(d.memory.data)
	problem := ""
	for _, at := range []int64{before, after, (before + after) / 2, before - 1000, after + 1000, before - 2000, before - 4000, after + 3000,
		before - 15000, after + 15000} {
		d.memory.data = maps.Clone(start)
		got := d.memory.at(at, s, keys, words(args))
		differs := d.settle(seen, within(after-before))
		if alike(got, real, within(after-before)) && differs == "" {
			d.kinds[kindOfReply(real)]++
			return
		}
		if problem == "" {
			problem = fmt.Sprintf("memory says %s, Redis %s; %s", show(got), show(real), differs)
		}
	}
	maps.DeleteFunc(start, func(key string, _ held) bool { return !slices.Contains(d.keys, key) })
	d.t.Errorf("%s %v: %s\nbefore: %+v", s.name, args, problem, start)
}

// within is how many ms two moments may differ after a call that took so many us.
func within(us int64) float64 { return float64(us)/1000 + 2 }

// snapshot is what a server holds under some keys at one moment.
const snapshot = `
local all = {}
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  all[#all + 1] = redis.call('PEXPIRETIME', key)
  all[#all + 1] = kind
  all[#all + 1] = kind == 'string' and redis.call('GETRANGE', key, 0, 100) or ''
end
return all`

// look takes a snapshot of the server.
func (d *differential) look() []any {
	args := []any{snapshot, len(d.keys)}
	for _, key := range d.keys {
		args = append(args, key)
	}
	now, err := redis.Values(d.on.Do("EVAL", args...))
	if err != nil {
		d.t.Fatal(err)
	}
	return now
}

// settle compares what both hold now, says what differs, and takes over the exact
// moments of the server: small differences must not add up.
func (d *differential) settle(seen []any, within float64) (differs string) {
	for i, key := range d.keys {
		ends, _ := redis.Int64(seen[3*i], nil)
		kind, _ := redis.String(seen[3*i+1], nil)
		value, _ := redis.String(seen[3*i+2], nil)
		h, ok := d.memory.data[key]
		gone := kind == "none"
		switch {
		case gone && ok && h.ends != 0 && h.ends < time.Now().UnixMilli()+5, gone && !ok:
			delete(d.memory.data, key)
			continue
		case gone != !ok, h.list != (kind == "list"), (ends == -1) != (h.ends == 0), h.ends != 0 && math.Abs(float64(h.ends-ends)) > within:
			return fmt.Sprintf("%s: memory holds %+v (%t), Redis a %s of %q until %d", key, h, ok, kind, value, ends)
		case i == 4 && value != h.value: // the budget, in us
			a, errA := strconv.ParseInt(value, 10, 64)
			b, errB := strconv.ParseInt(h.value, 10, 64)
			if errA != nil || errB != nil || math.Abs(float64(a-b)) > within*1000 {
				return fmt.Sprintf("%s: memory holds %q, Redis %q", key, h.value, value)
			}
			h.value = value
		// A record holds the moment at which it lapses.
		case i == 6 && len(value) >= headLen && len(h.value) >= headLen && value[:33] == h.value[:33]:
			h.value = value
		case value != h.value[:min(len(h.value), 101)]:
			return fmt.Sprintf("%s: memory holds %q, Redis %q", key, h.value, value)
		}
		h.ends = max(ends, 0)
		d.memory.data[key] = h
	}
	return ""
}

func kindOfReply(reply any) string {
	if failed, ok := reply.(*Error); ok {
		return failed.Kind
	}
	if list, ok := reply.([]any); ok {
		reply = list[0]
	}
	word, _ := text(reply)
	return word
}

func show(reply any) string {
	list, ok := reply.([]any)
	if !ok {
		return kindOfReply(reply)
	}
	return fmt.Sprintf("%q", list)
}

// alike compares two replies, times within so many ms.
func alike(a, b any, within float64) bool {
	x, isList := a.([]any)
	y, isList2 := b.([]any)
	if !isList || !isList2 {
		return kindOfReply(a) == kindOfReply(b)
	}
	near := func(i int) bool {
		d := float64(x[i].(int64) - y[i].(int64))
		return d <= within && d >= -within
	}
	return string(x[0].([]byte)) == string(y[0].([]byte)) && near(1) && string(x[2].([]byte)) == string(y[2].([]byte)) && (len(x) == 3 || near(3))
}
