package proxy

import (
	"net"
	"net/http"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// answered is the outcome in an audit line when the response is upstream's: the
// status says what became of the request.
const answered = "answered"

// isWrite reports whether a method may change something; a made-up one may.
func isWrite(method string) bool { return method != http.MethodGet && method != http.MethodHead }

// auditOutcome is what the audit line says of a write.
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
	conn, ok := c.Value(connKey{}).(net.Conn)
	if !ok {
		return 0, false
	}
	return socket.PeerUID(conn)
}
