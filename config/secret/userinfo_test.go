package secret

import "testing"

func TestUserinfoLeavesTheURL(t *testing.T) {
	for _, tc := range []struct {
		text, rest, user, password string
		ok                         bool
	}{
		{"redis://cache:6379/0", "redis://cache:6379/0", "", "", true},
		{"redis://me:p%40ss@a:1,b:2/0", "redis://a:1,b:2/0", "me", "p@ss", true},
		{"redis://:pass@cache", "redis://cache", "", "pass", true},
		{"redis://me@cache", "redis://cache", "me", "", true},
		{"redis://me:p@ss@cache", "redis://cache", "me", "p@ss", true},
		{"redis://cache/x@y", "redis://cache/x@y", "", "", true},
		{"redis://cache?x@y", "redis://cache?x@y", "", "", true},
		{"redis://me:100%@cache", "redis://cache", "", "", false},
		{"unix:/run/a@b.sock", "unix:/run/a@b.sock", "", "", true},
		{"", "", "", "", true},
	} {
		rest, user, password, ok := New(tc.text).Userinfo()
		if ok != tc.ok || rest != tc.rest || ok && (user != tc.user || password.Reveal() != tc.password) {
			t.Errorf("%q: %q, %q, %q, %v, want %q, %q, %q, %v", tc.text, rest, user, password.Reveal(), ok, tc.rest, tc.user, tc.password, tc.ok)
		}
	}
}
