package redisstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// pair is a pair of credentials.
type pair struct{ id, secret string }

func (p pair) Pair() (id, clientSecret secret.String) {
	return secret.New(p.id), secret.New(p.secret)
}

var partner = tokencache.Grant{Type: tokencache.ClientCredentials}

// monite is the token endpoint, and the API that takes its tokens.
type monite struct {
	mu       sync.Mutex // guards what follows
	lifetime time.Duration
	latency  func() time.Duration
	hangs    int                            // so many mints are not answered
	fails    *tokencache.FetchError         // for all
	sick     map[int]*tokencache.FetchError // for one replica
	refuses  bool                           // every token
	mints    []time.Time
	tokens   int // issued
	revoked  int // tokens up to this number are not good
	bad      int // requests with a token of nobody's
}

func (m *monite) set(change func(*monite)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func (m *monite) fetch(ctx context.Context, by string, replica int) (tokencache.Token, error) {
	m.mu.Lock()
	m.mints = append(m.mints, time.Now())
	hangs := m.hangs > 0
	if hangs {
		m.hangs--
	}
	latency, failed := m.latency(), m.fails
	if m.sick[replica] != nil {
		failed = m.sick[replica]
	}
	m.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return tokencache.Token{}, ctx.Err()
	}
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return tokencache.Token{}, ctx.Err()
	}
	if failed != nil {
		return tokencache.Token{}, failed
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens++
	text := fmt.Sprintf("token-%d-%d", m.tokens, time.Now().Add(m.lifetime-latency).UnixMilli())
	return tokencache.Token{AccessToken: secret.NewToken(text), ExpiresIn: m.lifetime, By: by}, nil
}

// takes reports whether a token is good.
func (m *monite) takes(token secret.String) bool {
	var number int
	var ends int64
	_, err := fmt.Sscanf(token.Reveal(), "token-%d-%d", &number, &ends)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil || number > m.tokens || time.Now().UnixMilli() >= ends {
		m.bad++
		return false
	}
	return !m.refuses && number > m.revoked
}

// fleet is many replicas before one Monite.
type fleet struct {
	t      *testing.T
	n      int
	shared *memory // nil: each on its own
	monite *monite
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup
	starts []time.Time // of the replicas

	mu     sync.Mutex // guards what follows
	failed int
	asked  int
	waits  []time.Duration // that were not hits
	asks   int             // calls of the store at the last measure
}

func newFleet(t *testing.T, n int, with bool) *fleet {
	f := &fleet{t: t, n: n, monite: &monite{
		lifetime: 30 * time.Minute, latency: func() time.Duration { return 300 * ms }, sick: map[int]*tokencache.FetchError{},
	}}
	if with {
		f.shared = newMemory()
		f.shared.service, f.shared.way = 70*time.Microsecond, 300*time.Microsecond
	}
	f.ctx, f.stop = context.WithCancel(t.Context())
	return f
}

// start has all replicas start within a time. Each is called every five minutes.
func (f *fleet) start(within time.Duration) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range f.n {
		begin := time.Duration(random.Int64N(int64(within)))
		f.starts = append(f.starts, time.Now().Add(begin))
		f.wg.Go(func() {
			if pause(f.ctx, begin) {
				f.replica(i, 5*time.Minute)
			}
		})
	}
}

// cache is that of one replica, and runs until the end.
func (f *fleet) cache(i int) *tokencache.Cache {
	creds := pair{"client", "a-secret-of-some-length"}
	config := tokencache.Config{RefreshBefore: 5 * time.Minute, HoldTimeout: 5 * time.Second, Warm: []tokencache.Grant{partner}}
	by := ""
	if f.shared != nil {
		store := newStore(Config{Origin: "https://upstream", Credentials: creds, MintsPerSecond: 20}, f.shared)
		config.Store, by = store, store.PairName(creds)
	}
	config.Fetcher = tokencache.FetcherFunc(func(ctx context.Context, _ tokencache.Grant) (tokencache.Token, error) {
		return f.monite.fetch(ctx, by, i)
	})
	cache := tokencache.New(config)
	f.wg.Go(func() { _ = cache.Run(f.ctx) })
	return cache
}

func (f *fleet) replica(i int, every time.Duration) {
	cache := f.cache(i)
	for {
		f.request(cache)
		if !pause(f.ctx, every) {
			return
		}
	}
}

// request is what the credential step does: once more with another token after a
// refusal.
func (f *fleet) request(cache *tokencache.Cache) {
	began := time.Now()
	token, err := cache.Token(f.ctx, partner)
	good := err == nil && f.monite.takes(token)
	if good {
		cache.Accepted(partner, began)
	}
	if err == nil && !good {
		cache.Invalidate(partner, token)
		if again, err := cache.Token(f.ctx, partner); err == nil && !again.Equal(token) {
			good = f.monite.takes(again)
		}
	}
	if f.ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if !good {
		f.failed++
	}
	if took := time.Since(began); took > 0 {
		f.waits = append(f.waits, took)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// measure is what happened since the last one.
type measure struct {
	mints, peak, failed, asked, calls int
	p50, p99                          time.Duration
}

func (f *fleet) measure() (m measure) {
	f.monite.mu.Lock()
	mints := f.monite.mints
	f.monite.mints = nil
	if f.monite.bad != 0 {
		f.t.Errorf("%d requests had a token that had ended, or was nobody's", f.monite.bad)
	}
	f.monite.mu.Unlock()
	m.mints = len(mints)
	for first, last := 0, 0; last < len(mints); last++ {
		for mints[last].Sub(mints[first]) >= time.Second {
			first++
		}
		m.peak = max(m.peak, last-first+1)
	}
	if f.shared != nil {
		f.shared.mu.Lock()
		m.calls = len(f.shared.calls) - f.asks
		f.asks = len(f.shared.calls)
		f.shared.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m.failed, m.asked = f.failed, f.asked
	slices.Sort(f.waits)
	if n := len(f.waits); n > 0 {
		m.p50, m.p99 = f.waits[n/2], f.waits[n*99/100]
	}
	f.failed, f.asked, f.waits = 0, 0, nil
	return m
}

// settle starts all, and forgets what that cost.
func (f *fleet) settle() {
	f.start(time.Minute)
	time.Sleep(5 * time.Minute)
	f.measure()
}

func (f *fleet) end() {
	f.stop()
	f.wg.Wait()
}

// all is the bound of failures where every request fails.
const all = 1 << 30

// size says what of a situation runs where time is short.
type size uint8

const (
	whole size = iota // all of it
	fifth             // a fifth of the replicas
	never
)

// situations are those of docs/fleet.md. bound is what a fleet of n that shares may
// cost: mints, and requests that fail.
var situations = []struct {
	name  string
	size  size
	run   func(f *fleet) measure
	bound func(f *fleet) (mints, failed int)
}{
	{"all start within 60 s", whole, func(f *fleet) measure {
		f.start(time.Minute)
		time.Sleep(70 * time.Second)
		return f.measure()
	}, few(1, 0)},
	{"all start within one second", whole, func(f *fleet) measure {
		f.start(time.Second)
		time.Sleep(20 * time.Second)
		return f.measure()
	}, few(1, 0)},
	{"three hours of work", never, func(f *fleet) measure {
		f.start(time.Minute)
		time.Sleep(3 * time.Hour)
		return f.measure()
	}, few(10, 0)},
	{"all tokens revoked", whole, func(f *fleet) measure {
		f.settle()
		f.monite.set(func(m *monite) { m.revoked = m.tokens })
		time.Sleep(6 * time.Minute)
		return f.measure()
	}, few(1, 0)},
	{"FLUSHALL", whole, func(f *fleet) measure {
		f.settle()
		if f.shared != nil {
			f.shared.set(func(m *memory) { clear(m.data) })
		}
		time.Sleep(25 * time.Minute)
		return f.measure()
	}, few(2, 0)},
	{"store down for an hour", never, func(f *fleet) measure {
		f.settle()
		f.fault(func(m *memory) { m.down = &Error{Kind: "connect"} })
		time.Sleep(time.Hour)
		f.fault(func(m *memory) { m.down = nil })
		return f.measure()
	}, func(f *fleet) (int, int) { return 3 * f.n, 0 }},
	{"store hangs for an hour", never, func(f *fleet) measure {
		f.settle()
		f.fault(func(m *memory) { m.hangs = true })
		time.Sleep(time.Hour)
		f.fault(func(m *memory) { m.hangs = false })
		return f.measure()
	}, func(f *fleet) (int, int) { return 3 * f.n, 0 }},
	{"start in one second, first mint hangs", fifth, func(f *fleet) measure {
		f.monite.set(func(m *monite) { m.hangs = 1 })
		f.start(time.Second)
		time.Sleep(20 * time.Second)
		return f.measure()
	}, untilAToken},
	{"the same, first three mints hang", fifth, func(f *fleet) measure {
		f.monite.set(func(m *monite) { m.hangs = 3 })
		f.start(time.Second)
		time.Sleep(20 * time.Second)
		return f.measure()
	}, untilAToken},
	{"the same, every mint takes 1.7 to 5 s", fifth, func(f *fleet) measure {
		random := rand.New(rand.NewPCG(3, 4))
		f.monite.set(func(m *monite) {
			m.latency = func() time.Duration { return 1700*ms + time.Duration(random.Int64N(int64(3300*ms))) }
		})
		f.start(time.Second)
		time.Sleep(20 * time.Second)
		return f.measure()
	}, untilAToken},
	{"endpoint answers 503 for 20 min over the tokens' end", never, func(f *fleet) measure {
		f.start(time.Minute)
		time.Sleep(18 * time.Minute)
		f.measure()
		f.monite.set(func(m *monite) { m.fails = &tokencache.FetchError{Reason: tokencache.Unavailable, Status: 503} })
		time.Sleep(20 * time.Minute)
		f.monite.set(func(m *monite) { m.fails = nil })
		time.Sleep(5 * time.Minute)
		return f.measure()
	}, func(f *fleet) (int, int) { return 9 + 20*25*60, 2 * f.n }},
	{"wrong secret for 10 min", fifth, func(f *fleet) measure {
		f.monite.set(func(m *monite) { m.fails = &tokencache.FetchError{Reason: tokencache.Rejected, Status: 401} })
		f.start(time.Minute)
		time.Sleep(10 * time.Minute)
		return f.measure()
		// Two have to hear it every 5 s.
	}, func(*fleet) (int, int) { return 2 * (1 + 600/5), all }},
	{"429 for a minute at the start", fifth, func(f *fleet) measure {
		f.monite.set(func(m *monite) {
			m.fails = &tokencache.FetchError{Reason: tokencache.Throttled, Status: 429, RetryAfter: 10 * time.Second}
		})
		f.start(time.Second)
		time.Sleep(time.Minute)
		f.monite.set(func(m *monite) { m.fails = nil })
		time.Sleep(30 * time.Second)
		return f.measure()
		// Two have to hear it every 10 s, and one finds that it is over.
	}, func(*fleet) (int, int) { return 2*(1+60/10) + 1, all }},
	{"upstream answers 401 to everything for 10 min", whole, func(f *fleet) measure {
		f.settle()
		f.monite.set(func(m *monite) { m.refuses = true })
		time.Sleep(10 * time.Minute)
		m := f.measure()
		if f.shared != nil && m.peak > 2 {
			f.t.Errorf("%d mints in a second, want 1, and one more on the border of two", m.peak)
		}
		return m
		// All call twice in this time, each time within a minute.
	}, func(*fleet) (int, int) { return 2 * (1 + int(time.Minute/(1300*ms))), all }},
	{"one replica whose own mints are always refused", never, func(f *fleet) measure {
		f.monite.set(func(m *monite) { m.sick[0] = &tokencache.FetchError{Reason: tokencache.Rejected, Status: 403} })
		f.start(time.Minute)
		time.Sleep(2 * time.Hour)
		return f.measure()
	}, few(20, 2)},
	{"tokens of 60 s, 30 min", never, func(f *fleet) measure {
		f.monite.set(func(m *monite) { m.lifetime = time.Minute })
		f.start(time.Minute)
		time.Sleep(30 * time.Minute)
		return f.measure()
	}, few(120, 0)},
}

func few(mints, failed int) func(*fleet) (int, int) {
	return func(*fleet) (int, int) { return mints, failed }
}

// untilAToken is the bound of a fleet that waits for its first token, by how long that
// took. The script gives out claims and tokens in one step, so none begins to mint when
// there is one:
//
//   - in each second, the holder of the lease: it lapses after that;
//   - two seconds after they began, the first lose their patience, and mint as the
//     budget of all allows: a burst of 9, then 20 in a second.
//
// A request fails only if it began so early that its 5 s were over before it looked
// again. Those who mint look every second, the others one and a half times what they
// are told at the most, or five times what the store took.
func untilAToken(f *fleet) (mints, failed int) {
	const hold, patience = 5 * time.Second, 2 * time.Second
	exchange := f.shared.slowest + f.shared.way
	pause := max(time.Second, max(600*ms, 5*exchange)*3/2) + exchange
	took := f.shared.stored.Sub(slices.MinFunc(f.starts, time.Time.Compare))
	mints = 1 + int(took/time.Second)
	if took > patience {
		mints += 9 + int((took-patience)/(50*ms))
	}
	for _, at := range f.starts {
		if f.shared.stored.Add(pause).After(at.Add(hold)) {
			failed++
		}
	}
	return mints, failed
}

func (f *fleet) fault(change func(*memory)) {
	if f.shared != nil {
		f.shared.set(change)
	}
}

// The table of docs/fleet.md. FLEET sets the number of replicas; then the table is
// printed, with a fleet that does not share beside it.
func TestFleet(t *testing.T) {
	most, table := 1000, false
	if text := os.Getenv("FLEET"); text != "" {
		most, _ = strconv.Atoi(text)
		table = true
	} else if underRace {
		most = 100
	}
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			n := most
			switch {
			case table, s.size == whole:
			case s.size == fifth:
				n /= 5
			default:
				t.Skip("takes long: make fleet")
			}
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, n, true)
				m := s.run(f)
				f.end()
				mints, failed := s.bound(f)
				if m.mints > mints || m.failed > failed {
					t.Errorf("%d mints and %d failed requests of %d, want at most %d and %d", m.mints, m.failed, m.asked, mints, failed)
				}
				t.Logf("%+v, at most %d mints and %d failures", m, mints, failed)
			})
			if table {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, n, false)
					m := s.run(f)
					f.end()
					t.Logf("without: %+v", m)
				})
			}
		})
	}
}
