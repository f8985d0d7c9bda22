package proxy

// LogField is one field of the log. Names and meanings are stable: alerts and
// searches of other people rely on them.
type LogField struct{ Name, In, Meaning string }

// LogFields are all the fields of the lines "request" and "audit", in their
// order. The README's table is made of this, and a test holds the lines to it.
var LogFields = []LogField{
	{"level", "both", "request: info; warn for a 5xx of Monite or a cut-off answer; error for a 5xx of the proxy, but warn for proxy_overloaded and proxy_draining, and info for 501 and 505, which the app provokes; debug where the app went away. audit: info"},
	{"time", "both", "RFC 3339 with milliseconds"},
	{"request_id", "both", "the app's `X-Request-Id`, or one that was made"},
	{"trace_id", "request", "the trace, if traces are on"},
	{"span_id", "request", "the request's span in it"},
	{"listener", "audit", "the listener that the app used, as `MONITE_LISTEN_ADDR` or an identity's `listen_addr` has it"},
	{"app_token", "audit", "whether the app had to show `MONITE_APP_TOKEN`, and did"},
	{"peer_uid", "audit", "the user id of the app's process; over a unix socket on Linux"},
	{"method", "both", "GET, HEAD, POST, PUT, PATCH, DELETE or other"},
	{"route", "both", "the template of Monite's published path, or other"},
	{"status", "both", "what the app got; 499: it went away before"},
	{"origin", "both", "who answered: upstream or proxy"},
	{"duration_ms", "request", "the whole request, to the end of its answer"},
	{"error_type", "both", "the `proxy_…` type of an answer of the proxy"},
	{"outcome", "both", "not_sent, rejected or unknown, of an answer of the proxy; audit: answered, of one of Monite"},
	{"would_refuse", "both", "the `proxy_…` type with which rules on trial (`audit_only`) would have refused it"},
	{"identity", "both", "the name of the named identity, if it is one"},
	{"grant_type", "both", "client_credentials or entity_user, once the request was resolved to an identity"},
	{"entity_user_hash", "audit", "the entity user, as twelve digits of a SHA-256"},
	{"entity_hash", "audit", "the entity, likewise"},
	{"token_wait_ms", "request", "until there was a token"},
	{"upstream_ms", "request", "from sending to the head of the answer, the last attempt's"},
	{"violation", "request", "what was wrong with a head that was refused before anything else read it, such as length_and_coding"},
	{"replay", "both", "why it was sent again with a new token: 401 or expired"},
	{"retried", "request", "true: sent once more on a new connection"},
	{"upstream_request_id", "both", "Monite's own `X-Request-Id`, for its support"},
	{"aborted", "request", "true: the answer was cut off visibly"},
	{"cause", "request", "the error behind an answer of the proxy"},
	{"request_bytes", "request", "of the body"},
	{"response_bytes", "request", "of the body"},
	{"message", "both", "request or audit"},
}
