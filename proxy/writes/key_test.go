package writes

import (
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	long := strings.Repeat("k", 255)
	for _, tt := range []struct {
		value, key string
		ok         bool
	}{
		{`"8e03978e-40d5-43dd-bc93-6894a57f9324"`, "8e03978e-40d5-43dd-bc93-6894a57f9324", true},
		{"8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324", true},
		{`"a \"b\" \\ c"`, `a "b" \ c`, true},
		{"~ from tilde to blank ~", "~ from tilde to blank ~", true},
		{"stripe-node-retry-x", "stripe-node-retry-x", true},
		{long, long, true},
		{`"` + long + `"`, long, true},
		{long + "k", "", false},
		{`"` + long + `k"`, "", false},
		{"", "", false},
		{`""`, "", false},
		{`"`, "", false},
		{`"a`, "", false},
		{`a"`, "", false},
		{`"a" `, "", false},
		{`"a"b"`, "", false},
		{`"a";q=1`, "", false},
		{`"a\n"`, "", false},
		{"a\x00b", "", false},
		{"a\tb", "", false},
		{"schlüssel", "", false},
		{`"a\`, "", false},
	} {
		key, ok := ParseKey(tt.value)
		if key != tt.key && ok || ok != tt.ok {
			t.Errorf("ParseKey(%q) = %q, %v, want %q, %v", tt.value, key, ok, tt.key, tt.ok)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(`"a\"b"`)
	f.Add("bare")
	f.Fuzz(func(t *testing.T, value string) {
		key, ok := ParseKey(value)
		if !ok {
			return
		}
		if key == "" || len(key) > maxKey {
			t.Fatalf("a key of %d bytes", len(key))
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, ok := ParseKey(quoted); !ok || again != key {
			t.Errorf("%q is not the same key as %q", quoted, value)
		}
	})
}
