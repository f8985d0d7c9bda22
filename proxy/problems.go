package proxy

import "net/http"

// hintUnknown follows the hint of every answer whose outcome is unknown.
const hintUnknown = "Upstream may have acted on this request: read the resource before sending it again."

// The problems, by status. Types are fixed by contract: apps branch on them.
var (
	problemTarget = problem{http.StatusBadRequest, "proxy_bad_request_target",
		"The request target is not one that can be forwarded safely.",
		"Use an origin-form target such as /v1/payables, without empty, dot or doubly encoded segments, backslash, semicolon or fragment.",
		"http_request_error"}
	problemHeader = problem{http.StatusBadRequest, "proxy_bad_header",
		"A header field is repeated or has a value that cannot be forwarded.",
		"Send X-Monite-Version once, as a date, and no Connection options but close, keep-alive and te.",
		"http_request_error"}
	problemKey = problem{http.StatusBadRequest, "proxy_bad_header",
		"The Idempotency-Key is repeated, or is not a key.",
		"Send Idempotency-Key once: 1 to 255 printable characters, as a quoted string or without quotes.",
		"http_request_error"}
	problemRepeatID = problem{http.StatusBadRequest, "proxy_bad_header",
		"X-Monite-Proxy-Repeat is repeated, or is not a request id.",
		"Send in it, once, the request id of the write that is to be sent again.",
		"http_request_error"}
	problemFraming = problem{http.StatusBadRequest, "proxy_bad_framing",
		"The head of the request is not one that can be read in only one way.",
		"Send HTTP/1.1 with one Host, lines that end in CR LF, and one Content-Length or Transfer-Encoding: chunked. The proxy's log names the rule.",
		"http_request_error"}
	problemInvalidIdentity = problem{http.StatusBadRequest, "proxy_invalid_identity",
		"An identity header is not a UUID, or is not spelled with hyphens.",
		"Send X-Monite-Entity-Id and X-Monite-Entity-User-Id as UUIDs, or leave them out for the configured default.",
		"http_request_error"}
	problemTokenRequest = problem{http.StatusBadRequest, "proxy_invalid_identity",
		"The request for a token is not one that Monite documents.",
		"Send JSON with grant_type client_credentials, or entity_user and the UUID of the user in entity_user_id.",
		"http_request_error"}
	problemDuplicateIdentity = problem{http.StatusBadRequest, "proxy_duplicate_identity",
		"An identity header occurs more than once, or two ways of naming an identity disagree.",
		"Send each of X-Monite-Entity-Id, X-Monite-Entity-User-Id and X-Monite-Identity at most once, and nothing that contradicts the listener, path prefix or token handle.",
		"http_request_error"}
	problemBodyRead = problem{http.StatusBadRequest, "proxy_body_read",
		"The request body could not be read to its end.",
		"Check that the app sends the whole body, with a Content-Length that is true or well-formed chunks, and does not pause for a minute.",
		"http_request_error"}
	problemAppToken = problem{http.StatusUnauthorized, "proxy_app_token",
		"The app token of the proxy is missing or wrong.",
		"Send the value of MONITE_APP_TOKEN in X-Monite-Proxy-Token.",
		"http_request_denied"}
	problemEntity = problem{http.StatusForbidden, "proxy_entity_not_allowed",
		"This entity is not one that the app may name.",
		"The operator allows entities by MONITE_ENTITY_ID and MONITE_ALLOWED_ENTITY_IDS, or for a named identity in its file; an entity user that is configured with its entity is sent with no other.",
		"http_request_denied"}
	problemEntityUser = problem{http.StatusForbidden, "proxy_entity_user_not_allowed",
		"This entity user is not one that the app may act as.",
		"The operator allows entity users by MONITE_ENTITY_USER_ID and MONITE_ALLOWED_ENTITY_USER_IDS; a named identity acts as its own user only.",
		"http_request_denied"}
	problemBrowser = problem{http.StatusForbidden, "proxy_browser_refused",
		"Requests from web pages are refused.",
		"Call the proxy from the app's server, never from a browser.",
		"http_request_denied"}
	problemRoute = problem{http.StatusForbidden, "proxy_route_refused",
		"This path is not forwarded.",
		"Tokens are minted by the proxy: leave out the call to the token endpoint.",
		"http_request_denied"}
	problemNotForwarded = problem{http.StatusForbidden, "proxy_route_refused",
		"This path is not forwarded: it does not begin with /v1/.",
		"The app's base URL ends in /v1, as in http://localhost:8080/v1.",
		"http_request_denied"}
	problemRule = problem{http.StatusForbidden, "proxy_route_refused",
		"The rules of this identity do not allow this request.",
		"The operator says which methods and paths an identity may use by allow and deny in MONITE_IDENTITIES_FILE.",
		"http_request_denied"}
	problemReadOnly = problem{http.StatusForbidden, "proxy_read_only",
		"The proxy is read-only.",
		"Only GET and HEAD are forwarded while MONITE_READ_ONLY is true.",
		"http_request_denied"}
	problemIdentityReadOnly = problem{http.StatusForbidden, "proxy_read_only",
		"This identity is read-only.",
		"The operator has set read_only for it in MONITE_IDENTITIES_FILE: only GET and HEAD are forwarded.",
		"http_request_denied"}
	problemUnknownIdentity = problem{http.StatusForbidden, "proxy_unknown_identity",
		"The request names an identity that is not configured, or not for this way.",
		"Check X-Monite-Identity and the path prefix, or have the operator configure the identity in MONITE_IDENTITIES_FILE.",
		"http_request_denied"}
	problemHandle = problem{http.StatusForbidden, "proxy_unknown_identity",
		"The token in Authorization is a handle that stands for no identity now.",
		"Ask POST /v1/auth/token for another one: this one was altered, or the client secret, the configured identities or MONITE_TOKEN_HANDLES have changed since.",
		"http_request_denied"}
	problemGrant = problem{http.StatusForbidden, "proxy_unknown_identity",
		"No identity with this grant_type can be had here.",
		"Ask for the grant_type that the operator has configured for this listener, path prefix or name.",
		"http_request_denied"}
	problemMethod = problem{http.StatusMethodNotAllowed, "proxy_method_refused",
		"This method is not forwarded.",
		"Use GET, HEAD, POST, PUT, PATCH or DELETE.",
		"http_request_denied"}
	problemRepeat = problem{http.StatusConflict, "proxy_repeat_refused",
		"The same write was sent before, and upstream may have executed it. This one was not sent.",
		"If the earlier one was executed, nothing is left to do. If it was not: send the request again with X-Monite-Proxy-Repeat: " +
			"followed by the earlier request id (error.earlier.request_id), or, if it has an Idempotency-Key, with a new key.",
		"http_request_denied"}
	problemRepeatInProgress = problem{http.StatusConflict, "proxy_repeat_refused",
		"The same write is still under way. This one was not sent.",
		"Try again after Retry-After: the earlier one's response then comes back, if there is one.",
		"http_request_denied"}
	problemKeyInProgress = problem{http.StatusConflict, "proxy_idempotency_in_progress",
		"A write with the same Idempotency-Key is still under way. This one was not sent.",
		"Try again after Retry-After, with the same key: the earlier one's response then comes back.",
		"http_request_denied"}
	problemResponseGone = problem{http.StatusConflict, "proxy_idempotency_answer_gone",
		"The same write was executed before, and its response is not kept any more. This one was not sent.",
		"Read the resource: error.earlier.status is upstream's status. Responses over 256 KiB are not kept.",
		"http_request_denied"}
	problemKeyReused = problem{http.StatusUnprocessableEntity, "proxy_idempotency_key_reused",
		"The Idempotency-Key was used for another request.",
		"Use a new key for each write, and the same key, method, path and body only to repeat it.",
		"http_request_denied"}
	problemBodyTooLarge = problem{http.StatusRequestEntityTooLarge, "proxy_body_too_large",
		"The request body is larger than the proxy forwards.",
		"The limit is MONITE_MAX_BODY_BYTES.",
		"http_request_denied"}
	problemTargetTooLong = problem{http.StatusRequestURITooLong, "proxy_target_too_long",
		"The request target is longer than 16 KiB.",
		"Send fewer or shorter query parameters.",
		"http_request_denied"}
	problemExpectation = problem{http.StatusExpectationFailed, "proxy_expectation_refused",
		"The expectation of the request cannot be met.",
		"Send Expect: 100-continue, or no Expect field.",
		"http_request_error"}
	problemHost = problem{http.StatusMisdirectedRequest, "proxy_host_not_allowed",
		"The Host of the request is not a name of this proxy.",
		"Call it as localhost or 127.0.0.1, or have the operator add the name to MONITE_ALLOWED_HOSTS.",
		"http_request_denied"}
	problemHeaderTooLarge = problem{http.StatusRequestHeaderFieldsTooLarge, "proxy_header_too_large",
		"The request header has more than 128 fields or more than 64 KiB.",
		"Send fewer or shorter header fields.",
		"http_request_denied"}
	problemCoding = problem{http.StatusNotImplemented, "proxy_coding_refused",
		"The transfer coding of the request is not understood.",
		"Send Transfer-Encoding: chunked, or a Content-Length.",
		"http_request_error"}
	problemVersion = problem{http.StatusHTTPVersionNotSupported, "proxy_version_refused",
		"This version of HTTP is not spoken here.",
		"Send HTTP/1.1.",
		"http_request_error"}
	problemUpgrade = problem{http.StatusNotImplemented, "proxy_upgrade_refused",
		"Protocol upgrades are not forwarded.",
		"Send plain HTTP/1.1 requests without an Upgrade field; some clients need HTTP/2 switched off for http:// URLs.",
		"http_upgrade_failed"}

	problemInternal = problem{http.StatusInternalServerError, "proxy_internal_error",
		"The proxy failed on this request.",
		"This is a fault of the proxy: its log has the details under this request id.",
		"proxy_internal_error"}
	problemTokenRejected = problem{http.StatusBadGateway, "proxy_token_rejected",
		"The token endpoint refused the partner credentials (grant client_credentials).",
		"The operator should check the client id, the client secret and the environment.",
		"destination_unavailable"}
	problemUserTokenRejected = problem{http.StatusBadGateway, "proxy_token_rejected",
		"The token endpoint refused a token for this entity user (grant entity_user).",
		"The entity user may be unknown, deleted or of another environment; or the credentials are wrong.",
		"destination_unavailable"}
	problemUpstreamUnreachable = problem{http.StatusBadGateway, "proxy_upstream_unreachable",
		"No connection to upstream could be made.",
		"The request was not sent. The operator should check the network, MONITE_API_URL and the proxy's log.",
		"destination_unavailable"}
	problemUpstreamName = problem{http.StatusBadGateway, "proxy_upstream_unreachable",
		"The name of upstream could not be resolved.",
		"The request was not sent. The operator should check DNS and MONITE_API_URL.",
		"dns_error"}
	problemUpstreamCertificate = problem{http.StatusBadGateway, "proxy_upstream_unreachable",
		"Upstream's certificate is not trusted.",
		"The request was not sent. The operator should check MONITE_API_URL and MONITE_CA_FILE.",
		"tls_certificate_error"}
	problemUpstreamBroken = problem{http.StatusBadGateway, "proxy_upstream_broken",
		"The connection to upstream broke before a complete answer.",
		"The proxy's log has the cause.",
		"connection_terminated"}
	problemTokenUnavailable = problem{http.StatusServiceUnavailable, "proxy_token_unavailable",
		"There is no access token now, because the token endpoint gives none.",
		"Try again after Retry-After; the proxy keeps trying. The admin listener's /readyz?verbose and the log name the cause.",
		"destination_unavailable"}
	problemTokenPaced = problem{http.StatusServiceUnavailable, "proxy_token_unavailable",
		"There is no access token now, because more of them are wanted than may be got in a second.",
		"Try again after Retry-After. The operator sets the limit by MONITE_MAX_MINTS_PER_SECOND, within what Monite allows the client id.",
		"connection_limit_reached"}
	problemOverloaded = problem{http.StatusServiceUnavailable, "proxy_overloaded",
		"Too many requests are in flight.",
		"Try again later, or raise MONITE_MAX_IN_FLIGHT.",
		"connection_limit_reached"}
	problemRateLimited = problem{http.StatusServiceUnavailable, "proxy_rate_limited",
		"More requests are sent than MONITE_MAX_REQUESTS_PER_SECOND allows, or than Monite has left.",
		"The request was not sent. Try again after Retry-After.",
		"connection_limit_reached"}
	problemKeyUnavailable = problem{http.StatusServiceUnavailable, "proxy_idempotency_unavailable",
		"The Idempotency-Key could not be claimed, because the store that replicas share does not respond.",
		"The request was not sent. Try again after Retry-After, with the same key. The operator should check MONITE_REDIS_URL.",
		"destination_unavailable"}
	problemDraining = problem{http.StatusServiceUnavailable, "proxy_draining",
		"The proxy is shutting down.",
		"Try again on a new connection.",
		"destination_unavailable"}
	problemUpstreamTimeout = problem{http.StatusGatewayTimeout, "proxy_upstream_timeout",
		"Upstream did not answer in time.",
		"The limit to the answer's head is MONITE_UPSTREAM_TIMEOUT.",
		"http_response_timeout"}
)
