package secret_test

import (
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

var valueTests = []struct {
	name, text string
	want       string // the problem; empty: a good value
}{
	{"uuid", "0f8fad5b-d9cb-469f-a165-70867728950e", ""},
	{"all that is allowed", "!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~", ""},
	{"one byte", "x", ""},
	{"one quote", `"`, ""},
	{"quote at one end", `"x`, ""},
	{"longest", strings.Repeat("x", secret.MaxLen), ""},
	{"too long", strings.Repeat("x", secret.MaxLen+1), "it is longer than 8192 bytes"},
	{"empty", "", "it is empty"},
	{"double quotes", `"` + canary + `"`, "it has quotes around it"},
	{"single quotes", `'` + canary + `'`, "it has quotes around it"},
	{"utf-8 bom", "\ufeff" + canary, "it starts with a byte order mark"},
	{"utf-16 bom", "\xff\xfe" + canary, "it starts with a byte order mark"},
	{"crlf inside", canary + "\r\nX-Evil: 1", "it has a line break in it"},
	{"lf inside", canary + "\nb", "it has a line break in it"},
	{"nul", canary + "\x00", "it has a NUL byte in it"},
	{"space", canary + " b", "it has a space in it"},
	{"tab", "\t" + canary, "it has a space in it"},
	{"escape", canary + "\x1b[0m", "it has a control byte in it"},
	{"delete", canary + "\x7f", "it has a control byte in it"},
	{"curly quotes", "“" + canary + "”", "it has a byte in it that is not ASCII"},
	{"latin-1", canary + "\xe9", "it has a byte in it that is not ASCII"},
}

func TestCheckNamesTheProblemAndNotTheValue(t *testing.T) {
	for _, tc := range valueTests {
		got := ""
		if err := secret.Check(secret.New(tc.text)); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: Check() = %q, want %q", tc.name, got, tc.want)
		}
	}
}

func FuzzCheckedValueFitsAFieldValue(f *testing.F) {
	for _, tc := range valueTests {
		f.Add(tc.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := secret.Check(secret.New(text))
		if err == nil && (!httpguts.ValidHeaderFieldValue(text) || strings.TrimSpace(text) != text || text == "") {
			t.Errorf("Check(%q) = nil, but it does not fit a field value", text)
		}
		if err != nil && len(text) > 12 && strings.Contains(err.Error(), text) {
			t.Errorf("Check(%q) = %v shows the value", text, err)
		}
	})
}
