package secret

import (
	"net/url"
	"strings"
)

// UserInfo takes the user information out of a URL (RFC 3986 section 3.2.1). rest
// is the URL without it, and may be shown. ok is false for text that is not a URL,
// of which nothing may be shown. Package net/url does not do: it refuses several
// hosts, and quotes what it refuses.
func (s String) UserInfo() (rest, user string, password String, ok bool) {
	text := s.Reveal()
	if strings.HasPrefix(text, "unix:/") {
		return text, "", String{}, true
	}
	scheme, after, found := strings.Cut(text, "://")
	if !found {
		return "", "", String{}, false
	}
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		end = len(after)
	}
	authority, tail := after[:end], after[end:]
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return text, "", String{}, true
	}
	user, plain, _ := strings.Cut(authority[:at], ":")
	user, err := url.PathUnescape(user)
	if err != nil {
		return "", "", String{}, false
	}
	plain, err = url.PathUnescape(plain)
	if err != nil {
		return "", "", String{}, false
	}
	return scheme + "://" + authority[at+1:] + tail, user, New(plain), true
}
