package tokencache

import (
	"testing"
	"time"
)

// Run mints only what is asked for, first tokens of warm grants aside: neither a
// grant that failed nor one whose token upstream refused is minted for nobody.
func TestNothingIsMintedForNobody(t *testing.T) {
	setup{latency: 10 * ms, warm: []Grant{partner}, run: true}.bubble(t, func(t *testing.T, s *endpoint, c *Cache) {
		warm, _ := s.get(t, c, partner)
		cold, _ := s.get(t, c, user(1))
		s.set(func(s *endpoint) { s.down = &FetchError{Reason: Unavailable} })
		if token, err := c.Token(t.Context(), user(2)); err == nil {
			t.Fatalf("Token() = %v while the endpoint is down", token)
		}
		s.set(func(s *endpoint) { s.down = nil })
		time.Sleep(2 * time.Second)
		c.Invalidate(partner, warm)
		c.Invalidate(user(1), cold)
		before := s.mints()
		time.Sleep(time.Hour)
		if calls := s.all()[before:]; len(calls) != 0 {
			t.Errorf("%d mints in an hour without a caller, the first for %v", len(calls), calls[0].grant)
		}
		for _, grant := range []Grant{partner, user(1), user(2)} {
			s.get(t, c, grant)
		}
		if got := s.mints() - before; got != 3 {
			t.Errorf("%d mints for three callers, want 3", got)
		}
	})
}

func TestOutageEndsExactlyAtItsLimit(t *testing.T) {
	first := newFailure(errDown, nil, 100e9, 0)
	for after, want := range map[int64]int{int64(sameOutage) - 1: 2, int64(sameOutage): 1} {
		if got := newFailure(errDown, first, first.aheadAt+after, 0).attempts; got != want {
			t.Errorf("%v after the next try was due: attempts = %d, want %d", time.Duration(after), got, want)
		}
	}
}
