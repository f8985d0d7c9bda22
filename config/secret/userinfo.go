package secret

import (
	"net/url"
	"strings"
)

// Userinfo takes the user and the password out of a URL (RFC 3986 section 3.2.1).
// rest is the URL without them, safe to show. ok is false if they are not
// percent-encoded. It does not use net/url, which refuses several hosts.
func (s String) Userinfo() (rest, user string, password String, ok bool) {
	rest = s.Reveal()
	scheme, after, found := strings.Cut(rest, "://")
	if !found {
		return rest, "", String{}, true
	}
	authority, path := after, ""
	if end := strings.IndexAny(after, "/?#"); end >= 0 {
		authority, path = after[:end], after[end:]
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return rest, "", String{}, true
	}
	user, secret, _ := strings.Cut(authority[:at], ":")
	user, userErr := url.PathUnescape(user)
	secret, secretErr := url.PathUnescape(secret)
	return scheme + "://" + authority[at+1:] + path, user, New(secret), userErr == nil && secretErr == nil
}
