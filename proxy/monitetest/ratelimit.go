package monitetest

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limiter counts requests per client id in fixed windows of one second, as
// Monite's gateway seems to.
type limiter struct {
	perSecond int

	mu      sync.Mutex // guards windows
	windows map[string]window
}

type window struct {
	second int64
	used   int
}

// take reports whether one more request is allowed and how many remain.
func (l *limiter) take(clientID string, now time.Time) (remaining int, ok bool) {
	second := now.Unix()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.windows == nil {
		l.windows = map[string]window{}
	}
	w := l.windows[clientID]
	if w.second != second {
		w = window{second: second}
	}
	if w.used >= l.perSecond {
		return 0, false
	}
	w.used++
	l.windows[clientID] = w
	return l.perSecond - w.used, true
}

// limit draws on the client's bucket and sets the RateLimit headers. Calls without a
// known client are not limited: they have no bucket.
func (s *Simulator) limit(c *call, clientID string) *answer {
	if s.limiter.perSecond <= 0 || clientID == "" {
		return nil
	}
	remaining, ok := s.limiter.take(clientID, s.now())
	h := c.w.Header()
	h.Set("RateLimit-Limit", strconv.Itoa(s.limiter.perSecond))
	h.Set("RateLimit-Remaining", strconv.Itoa(remaining))
	h.Set("RateLimit-Reset", "1")
	h.Set("X-RateLimit-Limit-Second", strconv.Itoa(s.limiter.perSecond))
	h.Set("X-RateLimit-Remaining-Second", strconv.Itoa(remaining))
	if ok {
		return nil
	}
	// The gateway's own body, not Monite's envelope.
	return jsonAnswer(http.StatusTooManyRequests, doc{"message": "API rate limit exceeded"}).set("Retry-After", "1")
}
