package proxy

import "net/http"

// hintUnknown follows the hint if the outcome of this request is unknown.
const hintUnknown = "Upstream may have acted on this request: read the resource before sending it again."

// The problems, by status. Types are fixed by contract: apps branch on them.
var (
	problemTarget = problem{http.StatusBadRequest, "proxy_bad_request_target",
		"The request target cannot be forwarded safely: servers read it in different ways.",
		"Send a path such as /v1/payables in visible ASCII, without empty or dot segments, backslash, semicolon, fragment or doubly encoded text.",
		"http_request_error"}
	problemHeader = problem{http.StatusBadRequest, "proxy_bad_header",
		"A header field is repeated or has a value that cannot be forwarded.",
		"Send X-Monite-Version once, as a date such as 2024-05-25, and do not name other fields in Connection.",
		"http_request_error"}
	problemKey = problem{http.StatusBadRequest, "proxy_bad_header",
		"The Idempotency-Key is repeated, or is not a key.",
		"Send Idempotency-Key once: 1 to 255 printable characters, as a quoted string or without quotes.",
		"http_request_error"}
	problemRepeatID = problem{http.StatusBadRequest, "proxy_bad_header",
		"X-Monite-Proxy-Repeat is repeated, or is not a request id.",
		"Send it once, with the request id of the write to send again.",
		"http_request_error"}
	problemFraming = problem{http.StatusBadRequest, "proxy_bad_framing",
		"The request head is ambiguous: it can be parsed in more than one way.",
		"Send HTTP/1.1 with one Host, lines that end in CR LF, and one Content-Length or Transfer-Encoding: chunked. The proxy's log names the rule.",
		"http_request_error"}
	problemInvalidIdentity = problem{http.StatusBadRequest, "proxy_invalid_identity",
		"An identity header is not a UUID with hyphens.",
		"Send X-Monite-Entity-Id and X-Monite-Entity-User-Id as UUIDs, or leave them out for the configured default.",
		"http_request_error"}
	problemTokenRequest = problem{http.StatusBadRequest, "proxy_invalid_identity",
		"The token request does not have the form that Monite documents.",
		"Send JSON with grant_type client_credentials, or entity_user and the UUID of the user in entity_user_id.",
		"http_request_error"}
	problemDuplicateIdentity = problem{http.StatusBadRequest, "proxy_duplicate_identity",
		"An identity header occurs more than once, or two ways of naming an identity disagree.",
		"Send each of X-Monite-Entity-Id, X-Monite-Entity-User-Id and X-Monite-Identity at most once, and nothing that contradicts the listener, path prefix or token handle.",
		"http_request_error"}
	problemBodyRead = problem{http.StatusBadRequest, "proxy_body_read",
		"The request body ended early, stalled or is malformed.",
		"Check that the app sends the whole body, with the right Content-Length or in well-formed chunks, and does not pause for a minute.",
		"http_request_error"}
	problemAppToken = problem{http.StatusUnauthorized, "proxy_app_token",
		"The app token is missing or wrong.",
		"Send the value of MONITE_APP_TOKEN in the X-Monite-Proxy-Token header.",
		"http_request_denied"}
	problemEntity = problem{http.StatusForbidden, "proxy_entity_not_allowed",
		"The app may not act for the entity in X-Monite-Entity-Id.",
		"Set MONITE_ENTITY_ID to this entity, or add it to MONITE_ALLOWED_ENTITY_IDS, a comma-separated list (* allows all), and restart the proxy; or do not send X-Monite-Entity-Id.",
		"http_request_denied"}
	problemEntityUser = problem{http.StatusForbidden, "proxy_entity_user_not_allowed",
		"The app may not act as this entity user.",
		"Set MONITE_ENTITY_USER_ID to this user, or add it to MONITE_ALLOWED_ENTITY_USER_IDS, a comma-separated list (* allows all), and restart the proxy. A named identity acts only as its own user.",
		"http_request_denied"}
	problemBrowser = problem{http.StatusForbidden, "proxy_browser_refused",
		"Requests from web pages are refused.",
		"Call the proxy from the app's server, never from a browser. If a server passes on a browser's request, have it drop Origin, Referer, Sec-Fetch-* and the like, or set MONITE_APP_TOKEN and have it send that value in X-Monite-Proxy-Token.",
		"http_request_denied"}
	problemRoute = problem{http.StatusForbidden, "proxy_route_refused",
		"This path is not forwarded.",
		"The proxy gets the tokens: leave out the call to the token endpoint. Or set MONITE_TOKEN_HANDLES=true, if the app's SDK insists on it.",
		"http_request_denied"}
	problemNotForwarded = problem{http.StatusForbidden, "proxy_route_refused",
		"This path is not forwarded, because it does not begin with /v1/.",
		"Set the app's base URL to one that ends in /v1, such as http://localhost:8080/v1.",
		"http_request_denied"}
	problemRule = problem{http.StatusForbidden, "proxy_route_refused",
		"The rules of this identity do not allow this request.",
		"Change allow or deny of this identity in MONITE_IDENTITIES_FILE.",
		"http_request_denied"}
	problemReadOnly = problem{http.StatusForbidden, "proxy_read_only",
		"The proxy is read-only.",
		"Only GET and HEAD are forwarded. Set MONITE_READ_ONLY=false and restart the proxy to allow writes.",
		"http_request_denied"}
	problemIdentityReadOnly = problem{http.StatusForbidden, "proxy_read_only",
		"This identity is read-only.",
		"Only GET and HEAD are forwarded. Set read_only: false for this identity in MONITE_IDENTITIES_FILE to allow writes.",
		"http_request_denied"}
	problemUnknownIdentity = problem{http.StatusForbidden, "proxy_unknown_identity",
		"The request names an identity that is not configured, or cannot be used on this listener.",
		"Check the spelling in X-Monite-Identity and in the path prefix, or add the identity to MONITE_IDENTITIES_FILE.",
		"http_request_denied"}
	problemHandle = problem{http.StatusForbidden, "proxy_unknown_identity",
		"The bearer token is not a token handle of this proxy, or no longer maps to an identity.",
		"Get a handle with POST /v1/auth/token and send it as Authorization: Bearer, or send no Authorization at all. A handle stops working when it is altered, or when the client secret, the identities or MONITE_TOKEN_HANDLES change.",
		"http_request_denied"}
	problemGrant = problem{http.StatusForbidden, "proxy_unknown_identity",
		"No identity with this grant_type is available on this listener.",
		"Ask for the grant_type that is configured for this listener, path prefix or name.",
		"http_request_denied"}
	problemMethod = problem{http.StatusMethodNotAllowed, "proxy_method_refused",
		"This method is not forwarded.",
		"Use GET, HEAD, POST, PUT, PATCH or DELETE.",
		"http_request_denied"}
	problemRepeat = problem{http.StatusConflict, "proxy_repeat_refused",
		"The same write was sent before, and upstream may have executed it. This one was not sent.",
		"Read the resource. If the earlier write was executed, there is nothing left to do. If not, send the request again with X-Monite-Proxy-Repeat: " +
			"followed by the earlier request id (error.earlier.request_id), or, if it has an Idempotency-Key, with a new key.",
		"http_request_denied"}
	problemRepeatInProgress = problem{http.StatusConflict, "proxy_repeat_refused",
		"The same write is still under way. This one was not sent.",
		"Try again after Retry-After: you then get the response to the earlier request, if there is one.",
		"http_request_denied"}
	problemKeyInProgress = problem{http.StatusConflict, "proxy_idempotency_in_progress",
		"A write with the same Idempotency-Key is still under way. This one was not sent.",
		"Try again after Retry-After, with the same key: you then get the response to the earlier request.",
		"http_request_denied"}
	problemResponseGone = problem{http.StatusConflict, "proxy_idempotency_answer_gone",
		"The same write was executed before, but its response is no longer kept. This one was not sent.",
		"Read the resource: error.earlier.status is upstream's status. Responses over 256 KiB are not kept.",
		"http_request_denied"}
	problemKeyReused = problem{http.StatusUnprocessableEntity, "proxy_idempotency_key_reused",
		"The Idempotency-Key was used for another request.",
		"Use a new key for each write, and the same key, method, path and body only to repeat it.",
		"http_request_denied"}
	problemBodyTooLarge = problem{http.StatusRequestEntityTooLarge, "proxy_body_too_large",
		"The request body is larger than the proxy forwards.",
		"Send less, or raise MONITE_MAX_BODY_BYTES and restart the proxy.",
		"http_request_denied"}
	problemTargetTooLong = problem{http.StatusRequestURITooLong, "proxy_target_too_long",
		"The request target is longer than 16 KiB.",
		"Send fewer or shorter query parameters.",
		"http_request_denied"}
	problemExpectation = problem{http.StatusExpectationFailed, "proxy_expectation_refused",
		"The request's Expect field cannot be met.",
		"Send Expect: 100-continue, or no Expect field.",
		"http_request_error"}
	problemHost = problem{http.StatusMisdirectedRequest, "proxy_host_not_allowed",
		"The Host of the request is not a name of this proxy.",
		"Call the proxy as localhost or 127.0.0.1, or add the name to MONITE_ALLOWED_HOSTS and restart the proxy.",
		"http_request_denied"}
	problemHeaderTooLarge = problem{http.StatusRequestHeaderFieldsTooLarge, "proxy_header_too_large",
		"The request header has more than 128 fields or more than 64 KiB.",
		"Send fewer or shorter header fields.",
		"http_request_denied"}
	problemCoding = problem{http.StatusNotImplemented, "proxy_coding_refused",
		"The transfer coding of the request is not supported.",
		"Send Transfer-Encoding: chunked, or a Content-Length.",
		"http_request_error"}
	problemVersion = problem{http.StatusHTTPVersionNotSupported, "proxy_version_refused",
		"This HTTP version is not supported.",
		"Send HTTP/1.1.",
		"http_request_error"}
	problemUpgrade = problem{http.StatusNotImplemented, "proxy_upgrade_refused",
		"Websockets are not forwarded.",
		"Send a plain HTTP/1.1 request without Upgrade: websocket. Monite's API has no websockets.",
		"http_upgrade_failed"}

	problemInternal = problem{http.StatusInternalServerError, "proxy_internal_error",
		"The proxy failed on this request.",
		"This is a fault of the proxy. Its log has the details under this request id.",
		"proxy_internal_error"}
	problemTokenRejected = problem{http.StatusBadGateway, "proxy_token_rejected",
		"The token endpoint refused the credentials (grant client_credentials).",
		"Check MONITE_CLIENT_ID, MONITE_CLIENT_SECRET and MONITE_ENVIRONMENT: they must belong together.",
		"destination_unavailable"}
	problemUserTokenRejected = problem{http.StatusBadGateway, "proxy_token_rejected",
		"The token endpoint refused a token for this entity user (grant entity_user).",
		"Check that the entity user exists in this environment and is not deleted, and that MONITE_CLIENT_ID and MONITE_CLIENT_SECRET are right.",
		"destination_unavailable"}
	problemUpstreamUnreachable = problem{http.StatusBadGateway, "proxy_upstream_unreachable",
		"No connection to upstream could be made.",
		"The request was not sent. Check the network and MONITE_API_URL; the proxy's log names the cause.",
		"destination_unavailable"}
	problemUpstreamName = problem{http.StatusBadGateway, "proxy_upstream_unreachable",
		"The name of upstream could not be resolved.",
		"The request was not sent. Check DNS and MONITE_API_URL.",
		"dns_error"}
	problemUpstreamCertificate = problem{http.StatusBadGateway, "proxy_upstream_unreachable",
		"Upstream's certificate is not trusted.",
		"The request was not sent. Check MONITE_API_URL; if something on the way re-encrypts TLS, put its CA certificate into MONITE_CA_FILE.",
		"tls_certificate_error"}
	problemUpstreamBroken = problem{http.StatusBadGateway, "proxy_upstream_broken",
		"The connection to upstream broke before the response was complete.",
		"The proxy's log names the cause.",
		"connection_terminated"}
	problemTokenUnavailable = problem{http.StatusServiceUnavailable, "proxy_token_unavailable",
		"No access token is available: the token endpoint is not issuing one.",
		"Try again after Retry-After; the proxy keeps trying. /readyz?verbose on the admin listener and the log name the cause.",
		"destination_unavailable"}
	problemTokenPaced = problem{http.StatusServiceUnavailable, "proxy_token_unavailable",
		"No access token is available: the limit on token requests per second is reached.",
		"Try again after Retry-After. MONITE_MAX_MINTS_PER_SECOND sets this limit; keep it below Monite's own limit for the client id.",
		"connection_limit_reached"}
	problemOverloaded = problem{http.StatusServiceUnavailable, "proxy_overloaded",
		"Too many requests are in flight.",
		"Try again after Retry-After, or raise MONITE_MAX_IN_FLIGHT and restart the proxy.",
		"connection_limit_reached"}
	problemRateLimited = problem{http.StatusServiceUnavailable, "proxy_rate_limited",
		"The limit on requests per second is reached: MONITE_MAX_REQUESTS_PER_SECOND, or what Monite allows.",
		"The request was not sent. Try again after Retry-After.",
		"connection_limit_reached"}
	problemKeyUnavailable = problem{http.StatusServiceUnavailable, "proxy_idempotency_unavailable",
		"The Idempotency-Key could not be claimed, because the shared store does not respond.",
		"The request was not sent. Try again after Retry-After, with the same key. The operator should check the server that MONITE_REDIS_URL names.",
		"destination_unavailable"}
	problemDraining = problem{http.StatusServiceUnavailable, "proxy_draining",
		"The proxy is shutting down.",
		"Try again on a new connection.",
		"destination_unavailable"}
	problemUpstreamTimeout = problem{http.StatusGatewayTimeout, "proxy_upstream_timeout",
		"Upstream did not respond in time.",
		"Raise MONITE_UPSTREAM_TIMEOUT, the limit until the response begins, if upstream needs longer.",
		"http_response_timeout"}
)
