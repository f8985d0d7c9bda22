// Package tokenendpoint does one exchange with Monite's POST /v1/auth/token:
// a mint (endpoint.go). Monite's wire format is not OAuth's: the request is JSON,
// the client authenticates in the body, and entity_user is a grant type of its own.
//
// The response is hostile input. It is read up to a limit, never decompressed, a
// redirect is never followed, and parseResponse (parse.go) is strict where a
// mistake could harm: a token that is not a bearer token by RFC 6750 section 2.1
// never reaches a header.
//
// A Rotation (rotation.go) stands between the Endpoint and where its credentials
// come from: a new pair is handed out only after a mint with it has succeeded.
package tokenendpoint
