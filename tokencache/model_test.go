package tokencache

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

var modelSeed = flag.Uint64("model.seed", 0, "seed of TestAnyHistory; 0: a new one each time")

// history does random things to a cache, and knows what must never happen.
type history struct {
	t      *testing.T
	random *rand.Rand
	s      *endpoint
	c      *Cache
	grants []Grant

	mu       sync.Mutex                      // guards what follows
	wall     time.Duration                   // how far the wall clock was set forward, in all
	bornAt   map[secret.String]time.Duration // wall, when the token came
	newest   map[Grant]secret.String
	revoked  map[secret.String]time.Time
	served   map[Grant]secret.String // the last token a caller got
	jumps    []time.Time
	forgiven []time.Time
	answered int
}

func TestAnyHistory(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-model.seed=%d", seed)
	histories := 12
	if underRace {
		histories = 4
	}
	for n := range histories {
		roomy := n%3 != 0 // else grants push each other out
		synctest.Test(t, func(t *testing.T) {
			h := &history{
				t: t, random: rand.New(rand.NewPCG(seed, uint64(n))), s: newEndpoint(100*ms, 30*time.Minute),
				grants: []Grant{partner, user(1), user(2), user(3), user(4), user(5)},
				bornAt: map[secret.String]time.Duration{}, revoked: map[secret.String]time.Time{}, served: map[Grant]secret.String{},
				newest: map[Grant]secret.String{},
			}
			config := settings(FetcherFunc(h.fetch))
			config.MaxMints, config.Warm = 4, []Grant{partner}
			if !roomy {
				config.MaxEntries = 3
			}
			h.c = open(t, config)
			if n%2 == 0 {
				start(t, h.c)
			}
			for range 1500 {
				h.step()
				h.c.table.mu.Lock() // else an entry may be counted twice, as it moves
				if n := h.c.table.count(); n > h.c.config.MaxEntries {
					t.Errorf("%d entries", n)
				}
				h.c.table.mu.Unlock()
			}
			time.Sleep(time.Minute)
			h.checkCalls(roomy)
			if h.answered < 100 {
				t.Errorf("only %d answers: the history is too bleak to show anything", h.answered)
			}
		})
	}
}

func (h *history) fetch(ctx context.Context, grant Grant) (Token, error) {
	token, err := h.s.Fetch(ctx, grant)
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bornAt[token.AccessToken], h.newest[grant] = h.wall, token.AccessToken
	}
	return token, err
}

func (h *history) step() {
	switch h.random.IntN(30) {
	case 0:
		time.Sleep(time.Duration(h.random.Int64N(int64(20 * time.Minute))))
	case 1, 2, 3:
		time.Sleep(time.Duration(h.random.Int64N(int64(30 * time.Second))))
	case 4, 5, 6:
		time.Sleep(time.Duration(h.random.Int64N(int64(2 * time.Second))))
	case 7, 8:
		h.fault()
	case 9, 10:
		h.s.set(func(s *endpoint) { s.down, s.hangs, s.refused = nil, false, map[Grant]*FetchError{} })
	case 11:
		h.s.set(func(s *endpoint) {
			s.lifetime = []time.Duration{3 * time.Second, 40 * time.Second, 30 * time.Minute}[h.random.IntN(3)]
			s.latency = time.Duration(h.random.Int64N(int64(900 * ms)))
		})
	case 12:
		h.c.Refresh()
	case 13:
		h.c.Forgive()
		h.forgiven = append(h.forgiven, time.Now())
	case 14:
		h.jump()
	case 15, 16, 17:
		h.reject()
	default:
		grant, patience := h.grants[h.random.IntN(len(h.grants))], time.Duration(h.random.Int64N(int64(8*time.Second)))
		for range 1 + h.random.IntN(4) {
			go h.call(grant, patience)
		}
	}
}

func (h *history) fault() {
	asked := time.Duration(h.random.Int64N(int64(20 * time.Second)))
	h.s.set(func(s *endpoint) {
		switch h.random.IntN(6) {
		case 0:
			s.down = &FetchError{Reason: Unavailable, RetryAfter: asked}
		case 1:
			s.down = errDown
		case 2:
			s.down = &FetchError{Reason: Malformed}
		case 3:
			s.refused[h.grants[h.random.IntN(len(h.grants))]] = errRejected
		case 4:
			s.quiet = time.Now().Add(asked)
		case 5:
			s.hangs = true
		}
	})
}

// jump sets the wall clock, when nothing else is going on.
func (h *history) jump() {
	synctest.Wait()
	by := time.Duration(h.random.Int64N(int64(time.Hour))) - 20*time.Minute
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wall += by
	h.jumps = append(h.jumps, time.Now())
	wallJumps(h.c, by)
}

// reject does what a caller does whose token upstream refused.
func (h *history) reject() {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	grant := h.grants[h.random.IntN(len(h.grants))]
	token := h.served[grant]
	h.c.Invalidate(grant, token)
	if i, ok := h.s.look(token); ok && time.Since(i.at) >= time.Second {
		h.revoked[token] = time.Now()
	}
}

func (h *history) call(grant Grant, patience time.Duration) {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	began := time.Now()
	token, err := h.c.Token(ctx, grant)
	h.mu.Lock()
	defer h.mu.Unlock()
	took := time.Since(began)
	if took > min(patience, 5*time.Second) {
		h.t.Errorf("Token(%v) took %v of %v", grant, took, patience)
	}
	if err != nil {
		if _, ok := errors.AsType[*Error](err); !ok && !(errors.Is(err, context.DeadlineExceeded) && took == patience) && h.t.Context().Err() == nil {
			h.t.Errorf("Token(%v) = %v after %v", grant, err, took)
		}
		return
	}
	h.answered++
	h.served[grant] = token
	i, ok := h.s.look(token)
	if !ok || i.grant != grant {
		h.t.Errorf("Token(%v) gave a token of %v", grant, i.grant)
	}
	older := max(h.wall-h.bornAt[token], 0) // by the wall clock, set forward since
	if !time.Now().Add(older).Before(i.ends) {
		h.t.Errorf("Token(%v) gave a token that ended %v ago", grant, time.Since(i.ends)+older)
	}
	// The last one of its grant may be given out again while there is no other.
	if at, dead := h.revoked[token]; dead && began.After(at) && token != h.newest[grant] {
		h.t.Errorf("Token(%v) gave a token that was rejected %v before", grant, began.Sub(at))
	}
}

// checkCalls looks at what the endpoint saw.
func (h *history) checkCalls(roomy bool) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if h.s.doubled != 0 || h.s.maxBusy > 5 { // MaxMints, and the warm grant
		h.t.Errorf("%d doubled, %d at once, want 0, 5 at most", h.s.doubled, h.s.maxBusy)
	}
	previous := map[Grant]call{}
	slices.SortStableFunc(h.s.calls, func(a, b call) int { return a.at.Compare(b.at) })
	var told, quiet time.Time // when a 429 came, and until when nobody may ask
	for _, next := range h.s.calls {
		if next.at.After(told) && next.at.Before(quiet) {
			h.t.Errorf("mint of %v although throttled for another %v", next.grant, quiet.Sub(next.at))
		}
		before, known := previous[next.grant]
		pause := next.at.Sub(before.ended)
		between := func(at time.Time) bool { return !at.Before(before.at) && !at.After(next.at) }
		cause, _ := errors.AsType[*FetchError](before.err)
		switch {
		case !known || !roomy:
		case before.err == nil && pause < time.Second && !slices.ContainsFunc(h.jumps, between):
			h.t.Errorf("mint of %v %v after a success", next.grant, pause)
		case cause != nil && cause.Reason == Rejected && pause < 5*time.Second && !slices.ContainsFunc(h.forgiven, between):
			h.t.Errorf("mint of %v %v after a refusal", next.grant, pause)
		case cause != nil && pause < cause.RetryAfter:
			h.t.Errorf("mint of %v %v after it was told to wait %v", next.grant, pause, cause.RetryAfter)
		}
		previous[next.grant] = next
		if cause, _ := errors.AsType[*FetchError](next.err); cause != nil && cause.Reason == Throttled && roomy {
			told, quiet = next.ended, next.ended.Add(cause.RetryAfter)
		}
	}
}
