package tokencache

import (
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// GrantType is the kind of token that is minted (RFC 6749 section 1.3; the second is
// Monite's own).
type GrantType string

// The grant types of Monite's token endpoint.
const (
	ClientCredentials GrantType = "client_credentials" // a partner-level token
	EntityUser        GrantType = "entity_user"        // acts as one entity user
)

// Grant names what a token is minted for. It is the key of the cache: two
// grants share a token only if they are equal. The entity id is not part of
// it, because the token does not depend on it.
type Grant struct {
	Type         GrantType
	EntityUserID string // lower-case UUID; only with EntityUser
}

// Token is the token endpoint's response.
type Token struct {
	AccessToken secret.String
	// ExpiresIn is the lifetime, counted from before the mint was sent.
	// Zero or less: the endpoint gave none that makes sense.
	ExpiresIn time.Duration
	// By names the credentials that minted it, and tells nothing of them. A Store
	// compares it: credentials may change between a claim and its mint. Empty where
	// there is no Store.
	By string
}
