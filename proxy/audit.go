package proxy

import (
	"net"
	"net/http"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/proxy/socket"
)

// answered is the outcome of an audit line whose answer is upstream's: what
// became of the request is what the status says.
const answered = "answered"

// isWrite: anything that may change something, a made-up method included.
func isWrite(method string) bool { return method != http.MethodGet && method != http.MethodHead }

// audit writes who did what: one line per write, whatever became of it.
func (a *accessLog) audit(record *Record, in *http.Request) {
	outcome := string(record.Outcome)
	if outcome == "" {
		outcome = answered
	}
	line := a.auditLog.Info().Str("request_id", record.RequestID).
		Str("listener", a.listenerName(in)).
		Bool("app_token", record.AppToken)
	if conn, ok := in.Context().Value(connKey{}).(net.Conn); ok {
		if uid, known := socket.PeerUID(conn); known {
			line = line.Uint32("peer_uid", uid)
		}
	}
	given := func(name, value string) {
		if value != "" {
			line = line.Str(name, value)
		}
	}
	given("identity", record.Identity)
	given("grant_type", record.GrantType)
	given("entity_user_hash", ids.Hash(record.entityUserID))
	given("entity_hash", ids.Hash(record.entityID))
	line = line.Str("method", record.Method).Str("route", record.Route).Int("status", record.Status).Str("origin", record.Origin).Str("outcome", outcome)
	given("error_type", record.ErrorType)
	given("would_refuse", record.Audited)
	given("replay", record.Replay)
	given("upstream_request_id", record.UpstreamRequestID)
	line.Msg("audit")
}

// listenerName is that of the listener that the app used.
func (a *accessLog) listenerName(in *http.Request) string {
	if own := listenerOf(in.Context()); own != "" {
		return own
	}
	return a.listener
}
