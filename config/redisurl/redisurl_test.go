package redisurl

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

var good = []struct {
	url, shown, password string
	want                 Address
}{
	{"redis://cache", "redis://cache:6379", "", Address{Hosts: []string{"cache:6379"}}},
	{"redis://cache:7000/3", "redis://cache:7000/3", "", Address{Hosts: []string{"cache:7000"}, DB: 3}},
	{"rediss://:pw@cache:6380/0", "rediss://cache:6380/0", "pw", Address{Hosts: []string{"cache:6380"}, TLS: true}},
	{"valkeys://cache", "valkeys://cache:6379", "", Address{Hosts: []string{"cache:6379"}, TLS: true}},
	{"redis://me:p%40%3Aw@a:1,b:2", "redis://a:1,b:2", "p@:w", Address{Hosts: []string{"a:1", "b:2"}, User: "me"}},
	{"redis://me:p@w@a", "redis://a:6379", "p@w", Address{Hosts: []string{"a:6379"}, User: "me"}},
	{"redis://me@[::1]:7", "redis://[::1]:7", "", Address{Hosts: []string{"[::1]:7"}, User: "me"}},
	{"redis://[::1]", "redis://[::1]:6379", "", Address{Hosts: []string{"[::1]:6379"}}},
	{"unix:/run/redis.sock", "unix:/run/redis.sock", "", Address{Hosts: []string{"/run/redis.sock"}, Unix: true}},
	{"unix:///run/redis.sock", "unix:/run/redis.sock", "", Address{Hosts: []string{"/run/redis.sock"}, Unix: true}},
	{"redis+sentinel://s1,s2:7/m", "redis+sentinel://s1:26379,s2:7/m", "", Address{Hosts: []string{"s1:26379", "s2:7"}, Master: "m"}},
	{"valkeys+sentinel://:pw@s/m/2", "valkeys+sentinel://s:26379/m/2", "pw", Address{Hosts: []string{"s:26379"}, Master: "m", DB: 2, TLS: true}},
}

func TestURLsThatAreTaken(t *testing.T) {
	for _, tc := range good {
		got, err := Parse(secret.New(tc.url))
		if err != nil {
			t.Errorf("Parse(%s) = %v", tc.url, err)
			continue
		}
		if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(Address{}, "Password", "shown")); diff != "" {
			t.Errorf("Parse(%s): %s", tc.url, diff)
		}
		if got.String() != tc.shown || !got.Password.Equal(secret.New(tc.password)) {
			t.Errorf("Parse(%s) is shown as %s, want %s; password as wanted: %t", tc.url, got, tc.shown, got.Password.Equal(secret.New(tc.password)))
		}
	}
}

var bad = []struct{ url, want string }{
	{"", "it does not begin with one of these"},
	{"cache:6379", "it does not begin with one of these"},
	{"http://cache", "it does not begin with one of these"},
	{"hunter2canary@cache", "it does not begin with one of these"},
	{"redis:///0", "it has no host"},
	{"redis://a,,b", "it has no host"},
	{"redis://::1", "it has no host"},
	{"redis://[cache]:1", "it has no host"},
	{"redis://:hunter2canary@", "it has no host"},
	{"redis://:hunter2canary%zz@a", "it does not begin with one of these"},
	{"redis://a:", "its port is not valid"},
	{"redis://a:0", "its port is not valid"},
	{"redis://a:65536", "its port is not valid"},
	{"redis://me:hunter2canary@a:x", "its port is not valid"},
	{"redis://a/hunter2canary", "its database is not a number"},
	{"redis://a/-1", "its database is not a number"},
	{"redis://a/0/1", "its database is not a number"},
	{"redis://a?password=hunter2canary", "it has a query or a fragment"},
	{"redis://a#x", "it has a query or a fragment"},
	{"redis+sentinel://s1", "it names no master"},
	{"redis+sentinel://s1/", "it names no master"},
	{"redis+sentinel://s1/m/x", "its database is not a number"},
	{"unix:", "it does not begin with one of these"},
	{"unix:/", "it has no path"},
	{"unix:relative", "it does not begin with one of these"},
}

func TestMistakesAreNamedWithoutTheValue(t *testing.T) {
	for _, tc := range bad {
		_, err := Parse(secret.New(tc.url))
		if err == nil || err.Error() != tc.want {
			t.Errorf("Parse(%s) = %v, want %s", tc.url, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("Parse(%s) shows the value", tc.url)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, tc := range good {
		f.Add(tc.url)
	}
	for _, tc := range bad {
		f.Add(tc.url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		a, err := Parse(secret.New(url))
		if err != nil {
			return
		}
		if len(a.Hosts) == 0 || !a.Unix && len(a.Ports()) == 0 {
			t.Errorf("Parse(%q) names no place", url)
		}
		// What is shown is a URL again, of the same place.
		again, err := Parse(secret.New(a.String()))
		if err != nil || !cmp.Equal(again.Hosts, a.Hosts) || again.DB != a.DB || again.Master != a.Master || again.TLS != a.TLS {
			t.Errorf("Parse(%q) is shown as %q, which gives %+v, %v", url, a, again, err)
		}
	})
}
