package proxy

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// answered is the outcome in an audit line if the response is upstream's: the status
// says how the request ended.
const answered = "answered"

// isWrite reports whether a method may change something; a made-up one may.
func isWrite(method string) bool { return method != http.MethodGet && method != http.MethodHead }

// maxRefusedLines limits the audit lines per second for requests that the guard
// refused: nothing was done for them, and any caller can send them.
const maxRefusedLines = 10

// auditLimit counts those lines.
type auditLimit struct {
	mu      sync.Mutex // guards all below
	second  int64      // since 1970
	lines   int        // in that second
	leftOut int        // since the last line
}

// allow reports whether there may be another line now, and how many there were not
// since the last one.
func (l *auditLimit) allow(now time.Time) (ok bool, leftOut int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := now.Unix(); second != l.second {
		l.second, l.lines = second, 0
	}
	if l.lines++; l.lines > maxRefusedLines {
		l.leftOut++
		return false, 0
	}
	leftOut, l.leftOut = l.leftOut, 0
	return true, leftOut
}

// audited reports whether the call gets an audit line.
func (c *call) audited() bool {
	if !isWrite(c.in.Method) || c.in.Method == "" { // of a head that is not HTTP
		return false
	}
	if !c.atDoor {
		return true
	}
	ok, leftOut := c.log.refused.allow(time.Now())
	if leftOut > 0 {
		c.log.auditLog.Info().Int("left_out", leftOut).Msg("audit lines of refused requests were left out: too many")
	}
	return ok
}

// auditOutcome returns a write's outcome for its audit line.
func (c *call) auditOutcome() string {
	if c.record.Outcome == "" {
		return answered
	}
	return string(c.record.Outcome)
}

// listenerName names the listener that the app used.
func (c *call) listenerName() string {
	if c.Context == nil { // it is followed
		return c.listener
	}
	if own := listenerOf(c.Context); own != "" {
		address, _, _ := strings.Cut(own, " ") // what follows tells its generations apart
		return address
	}
	return c.log.listener
}

// peerUID returns the user whose process is the app, if the system tells.
func (c *call) peerUID() (uid uint32, known bool) {
	if c.Context == nil {
		return c.peer, c.peerKnown
	}
	return socket.PeerUID(c.conn())
}
