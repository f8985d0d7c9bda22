package monitetest

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"
)

const (
	grantPartner    = "client_credentials"
	grantEntityUser = "entity_user"
)

// token is one access token and what it stands for.
type token struct {
	clientID     string
	grantType    string
	entityUserID string
	entityID     string // of the entity user; empty for the partner
	expires      time.Time
}

// tokenStore knows every token that was not revoked, expired ones included: an
// expired token gets another response than an unknown one.
type tokenStore struct {
	mu     sync.Mutex // guards tokens
	tokens map[string]token
}

// forgetAfter is the time for which an expired token is still called expired.
const forgetAfter = time.Hour

func (ts *tokenStore) add(t token, now time.Time) (value string) {
	value = newOpaque()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.tokens == nil {
		ts.tokens = map[string]token{}
	}
	if len(ts.tokens)%4096 == 4095 { // a long-lived simulator must not grow for ever
		for old, t := range ts.tokens {
			if now.Sub(t.expires) > forgetAfter {
				delete(ts.tokens, old)
			}
		}
	}
	ts.tokens[value] = t
	return value
}

func (ts *tokenStore) get(value string) (token, bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, ok := ts.tokens[value]
	return t, ok
}

func (ts *tokenStore) revoke(value string) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	_, ok := ts.tokens[value]
	delete(ts.tokens, value)
	return ok
}

func (ts *tokenStore) revokeAll() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.tokens = nil
}

func (ts *tokenStore) expireAll(now time.Time) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for value, t := range ts.tokens {
		if t.expires.After(now) {
			t.expires = now
			ts.tokens[value] = t
		}
	}
}

func (ts *tokenStore) live(now time.Time) (n int) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.tokens {
		if t.expires.After(now) {
			n++
		}
	}
	return n
}

// Revoke ends one token, and reports whether it was known. It then counts as unknown:
// always 401.
func (s *Simulator) Revoke(accessToken string) bool { return s.tokens.revoke(accessToken) }

// RevokeAll ends all tokens, as a revocation elsewhere does.
func (s *Simulator) RevokeAll() { s.tokens.revokeAll() }

// ExpireAll ends the lifetime of all tokens now: they get Config.ExpiredStatus,
// whatever their expires_in promised.
func (s *Simulator) ExpireAll() { s.tokens.expireAll(s.now()) }

// newOpaque returns 43 random characters. Monite's own samples have 41.
func newOpaque() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
