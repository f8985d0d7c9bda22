package config

import (
	"strings"
	"testing"
)

func TestProxyThatCannotBeParsedIsAMistake(t *testing.T) {
	for _, tc := range []struct{ value, want string }{
		{"http://user:100%sure@host:3128", "(a % in it is not followed by two hexadecimal digits; in a user or password write %25 for it)"},
		{"user:100%@host:3128", "(a % in it is not followed by two hexadecimal digits; in a user or password write %25 for it)"},
		{"http://user:a/b@host:3128", "have to be percent-encoded)"},
		{"http://user:a#b@host:3128", "have to be percent-encoded)"},
		{"http://user:a?b@host:3128", "have to be percent-encoded)"},
		{"http://host:port", "(it is not a URL: its host or port is not valid)"},
		{"http://host:0", "(its host or port is not valid)"},
		{"http://host:99999", "(its host or port is not valid)"},
		{"http://", "(it has no host)"},
		{"http://:3128", "(it has no host)"},
		{"socks5://host:1080", "no other kind of proxy is supported)"},
		{"ftp://host", "no other kind of proxy is supported)"},
		{" http://host:3128", "(it has a space or a byte that is not printable ASCII in it)"},
		{"http://host:3128\n", "(it has a space or a byte that is not printable ASCII in it)"},
		{"http://host:3128/x", "(it has a path; in a user or password write %2F for /)"},
		{"http://ho st", "(it has a space or a byte that is not printable ASCII in it)"},
		{"http://host:3128?a", "(it has a query or a fragment; in a user or password write %3F for ? and %23 for #)"},
	} {
		for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
			noProxies(t)
			t.Setenv(name, tc.value)
			_, err := load(t, map[string]string{"MONITE_PROXY_FROM_ENV": "true"})
			got := lines(err)
			if len(got) != 1 || !strings.HasPrefix(got[0], name+": want ") || !strings.HasSuffix(got[0], tc.want) || len(tc.value) > 9 &&
				strings.Contains(got[0], tc.value) {
				t.Errorf("%s=%q: mistakes %q, want one that ends in %q", name, tc.value, got, tc.want)
			}
			if _, err := load(t, map[string]string{"MONITE_PROXY_FROM_ENV": "false"}); err != nil {
				t.Errorf("%s=%q counts although it should not: %v", name, tc.value, err)
			}
		}
	}
}

func TestProxyThatCanBeParsedIsNone(t *testing.T) {
	for _, value := range []string{
		"http://host:3128", "host:3128", "host", "https://user:100%25sure@host", "http://[::1]:3128/", "http://10.0.0.1:3128", "HTTP://Host:3128",
	} {
		noProxies(t)
		t.Setenv("HTTPS_PROXY", value)
		t.Setenv("https_proxy", "%%%") // the other spelling comes first
		if _, err := load(t, map[string]string{"MONITE_PROXY_FROM_ENV": "true"}); err != nil {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func noProxies(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, "")
	}
}

func TestProductionIsWhereMoneyMoves(t *testing.T) {
	for environment, want := range map[string]bool{"sandbox": false, "eu": true, "us": true, "custom": false} {
		if got := (&Config{Environment: environment}).Production(); got != want {
			t.Errorf("%s: production = %t, want %t", environment, got, want)
		}
	}
}
