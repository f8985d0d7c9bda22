package secret

import (
	"fmt"
	"strings"
	"testing"
)

func TestPairs(t *testing.T) {
	for _, tc := range []struct {
		text, want string
		ok         bool
	}{
		{"", "", true},
		{"api-key=abc", "api-key:abc", true},
		{" a = b%20c , d=e=f,", "a:b c|d:e=f", true},
		{"authorization=Basic%20eA%3D%3D", "authorization:Basic eA==", true},
		{"empty=", "empty:", true},
		{"no-value", "", false},
		{"=x", "", false},
		{"bad name=x", "", false},
		{"a=%zz", "", false},
		{"a=b%0d%0aHost: c", "", false},
	} {
		pairs, ok := New(tc.text).Pairs()
		var got []string
		for _, p := range pairs {
			got = append(got, p.Name+":"+p.Value.Reveal())
		}
		if strings.Join(got, "|") != tc.want || ok != tc.ok {
			t.Errorf("Pairs() of %q = %q, %v, want %q, %v", tc.text, got, ok, tc.want, tc.ok)
		}
		if shown := fmt.Sprintf("%v %+v %#v", pairs, pairs, pairs); strings.Contains(shown, "Basic") {
			t.Errorf("a pair shows its value: %s", shown)
		}
	}
}
