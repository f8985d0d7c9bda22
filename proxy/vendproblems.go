package proxy

import "net/http"

// The problems that only the vend listener has.
var (
	problemVendRequest = problem{http.StatusBadRequest, "proxy_token_request",
		"The vend listener does not serve this form of token request.",
		`Send {"grant_type":"entity_user","entity_user_id":"a UUID"} as JSON, with no other fields than client_id and client_secret, and with no header that names a user.`,
		"http_request_error"}
	problemVendUser = problem{http.StatusBadRequest, "proxy_invalid_identity",
		"entity_user_id is not a UUID.",
		"Send the id of the entity user as Monite gave it.",
		"http_request_error"}
	problemVendPartner = problem{http.StatusForbidden, "proxy_grant_refused",
		"Partner tokens are never handed out.",
		"Ask for the token of an entity user (grant entity_user), or send partner calls through the data listener.",
		"http_request_denied"}
	problemVendPath = problem{http.StatusNotFound, "proxy_not_found",
		"The vend listener does not serve this path.",
		"Send POST /v1/auth/token to get a token, and API calls to the data listener.",
		"http_request_denied"}
	problemVendMethod = problem{http.StatusMethodNotAllowed, "proxy_method_refused",
		"The vend listener takes only POST.",
		"Use POST /v1/auth/token.",
		"http_request_denied"}
	problemVendBody = problem{http.StatusRequestEntityTooLarge, "proxy_body_too_large",
		"The token request is larger than 16 KiB.",
		"Send grant_type and entity_user_id, and nothing else.",
		"http_request_denied"}
)
