package tokenendpoint

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

const day = 24 * time.Hour

// answers is the table of TestParseResponse and the seed of FuzzParseResponse.
// An empty token means that the answer is refused.
var answers = []struct {
	name, body, token string
	expiresIn         time.Duration
}{
	{"as published", `{"access_token":"abc.DEF-1","token_type":"Bearer","expires_in":1800}`, "abc.DEF-1", 30 * time.Minute},
	{"further fields", `{"a":{"access_token":"x"},"access_token":"t","expires_in":60,"scope":null,"z":[1]}`, "t", time.Minute},
	{"white space around", " \t\r\n{\"access_token\" : \"t\" , \"expires_in\" : 60 }\n", "t", time.Minute},
	{"escapes", `{"access\u005ftoken":"\u0074","expires_in":60}`, "t", time.Minute},
	{"every character of b64token", `{"access_token":"azAZ09-._~+/==","expires_in":60}`, "azAZ09-._~+/==", time.Minute},
	{"escaped slash", `{"access_token":"a\/b","expires_in":60}`, "a/b", time.Minute},
	{"longest token", `{"access_token":"` + strings.Repeat("a", 8192) + `","expires_in":60}`, strings.Repeat("a", 8192), time.Minute},
	{"type in lower case", `{"access_token":"t","token_type":"bearer","expires_in":60}`, "t", time.Minute},
	{"type in upper case", `{"access_token":"t","token_type":"BEARER","expires_in":60}`, "t", time.Minute},
	{"type null", `{"access_token":"t","token_type":null,"expires_in":60}`, "t", time.Minute},
	{"no type, no lifetime", `{"access_token":"t"}`, "t", time.Minute},

	{"type MAC", `{"access_token":"t","token_type":"MAC","expires_in":60}`, "", 0},
	{"type empty", `{"access_token":"t","token_type":"","expires_in":60}`, "", 0},
	{"type with a space", `{"access_token":"t","token_type":"bearer ","expires_in":60}`, "", 0},
	{"type no text", `{"access_token":"t","token_type":["bearer"],"expires_in":60}`, "", 0},
	{"token missing", `{"token_type":"bearer","expires_in":60}`, "", 0},
	{"token null", `{"access_token":null}`, "", 0},
	{"token empty", `{"access_token":""}`, "", 0},
	{"token a number", `{"access_token":12345}`, "", 0},
	{"token a boolean", `{"access_token":true}`, "", 0},
	{"token an object", `{"access_token":{"access_token":"t"}}`, "", 0},
	{"token too long", `{"access_token":"` + strings.Repeat("a", 8193) + `"}`, "", 0},
	{"token with CR LF", `{"access_token":"t\r\nX-Evil: 1"}`, "", 0},
	{"token with LF at the end", `{"access_token":"t\n"}`, "", 0},
	{"token with NUL", `{"access_token":"t\u0000"}`, "", 0},
	{"token with a space", `{"access_token":"t t"}`, "", 0},
	{"token with a tab", `{"access_token":"\tt"}`, "", 0},
	{"token with DEL", "{\"access_token\":\"t\x7f\"}", "", 0},
	{"token with é", `{"access_token":"té"}`, "", 0},
	{"token with a full-width letter", `{"access_token":"\uff41"}`, "", 0},
	{"token with invalid UTF-8", "{\"access_token\":\"t\xff\"}", "", 0},
	{"token with half a surrogate", `{"access_token":"\ud800"}`, "", 0},
	{"token with a quote", `{"access_token":"t\""}`, "", 0},
	{"token with a comma", `{"access_token":"a,b"}`, "", 0},
	{"token with = inside", `{"access_token":"a=b"}`, "", 0},
	{"token of = alone", `{"access_token":"=="}`, "", 0},
	{"name in other case", `{"Access_Token":"t","expires_in":60}`, "", 0},
	{"name twice", `{"access_token":"a","access_token":"b"}`, "", 0},
	{"name twice, once escaped", `{"access_token":"a","access\u005ftoken":"b"}`, "", 0},
	{"lifetime twice", `{"access_token":"a","expires_in":1,"expires_in":60}`, "", 0},
	{"unknown name twice", `{"access_token":"a","x":1,"x":1}`, "", 0},
	{"empty", ``, "", 0},
	{"white space", " \n", "", 0},
	{"null", `null`, "", 0},
	{"text", `"access_token"`, "", 0},
	{"array", `[{"access_token":"t"}]`, "", 0},
	{"two objects", `{"access_token":"t"}{"access_token":"u"}`, "", 0},
	{"trailing garbage", `{"access_token":"t"}x`, "", 0},
	{"trailing NUL", "{\"access_token\":\"t\"}\x00", "", 0},
	{"byte order mark", "\xef\xbb\xbf{\"access_token\":\"t\"}", "", 0},
	{"cut off", `{"access_token":"t"`, "", 0},
	{"trailing comma", `{"access_token":"t",}`, "", 0},
	{"comment", `{"access_token":"t"/**/}`, "", 0},
	{"HTML", `<!DOCTYPE html><title>access_token</title>`, "", 0},
	{"form", `access_token=t&expires_in=60`, "", 0},
	{"gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00", "", 0},
	{"Monite's error", `{"error":{"message":"access_token"}}`, "", 0},
	{"too deep", `{"access_token":"t","x":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`, "", 0},
}

func TestParseResponse(t *testing.T) {
	for _, tc := range answers {
		t.Run(tc.name, func(t *testing.T) {
			token, err := parseResponse([]byte(tc.body))
			if (err == nil) != (tc.token != "") {
				t.Fatalf("parseResponse() error = %v, want one: %v", err, tc.token == "")
			}
			if !token.AccessToken.Equal(secret.New(tc.token)) || token.ExpiresIn != tc.expiresIn {
				t.Errorf("token as wanted: %v, expires in %v, want %v", token.AccessToken.Equal(secret.New(tc.token)), token.ExpiresIn, tc.expiresIn)
			}
		})
	}
}

func FuzzParseResponse(f *testing.F) {
	for _, tc := range answers {
		f.Add([]byte(tc.body))
	}
	for raw := range lifetimes {
		f.Add([]byte(`{"access_token":"t","expires_in":` + raw + `}`))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := parseResponse(body)
		if err != nil {
			if !token.AccessToken.IsZero() || token.ExpiresIn != 0 {
				t.Error("a token besides an error")
			}
			return
		}
		text := token.AccessToken.Reveal()
		if !json.Valid(body) || text == "" || len(text) > 8192 {
			t.Errorf("accepted %d bytes of token, valid JSON %v", len(text), json.Valid(body))
		}
		for i := range len(text) {
			if c := text[i]; !strings.Contains("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=", string(rune(c))) {
				t.Errorf("byte %#x in a token", c)
			}
		}
		if !httpguts.ValidHeaderFieldValue("Bearer "+text) || strings.TrimRight(text, "=") == "" {
			t.Errorf("token is no header value")
		}
		if token.ExpiresIn < 0 || token.ExpiresIn > 366*day || token.ExpiresIn%time.Second != 0 {
			t.Errorf("ExpiresIn = %v", token.ExpiresIn)
		}
	})
}

// lifetimes: the JSON of expires_in, and what is made of it.
var lifetimes = map[string]time.Duration{
	`1800`: 30 * time.Minute, `1800.0`: 30 * time.Minute, `1.8e3`: 30 * time.Minute, `18E+2`: 30 * time.Minute,
	`3600.5`: time.Hour, `0.9`: 0, `1`: time.Second, `1.999`: time.Second,
	`"3600"`: time.Hour, `" 3600 "`: time.Hour, `"3600.0"`: time.Hour, `"\u0033600"`: time.Hour, `"1e3"`: 1000 * time.Second,
	`0`: 0, `-0`: 0, `0.0`: 0, `-1`: 0, `-0.5`: 0, `"-1"`: 0, `"0"`: 0, `-1e300`: 0, `"-1e400"`: 0, `1e-400`: 0,
	`1e300`: 365 * day, `"1e300"`: 365 * day, `1e400`: 365 * day, `9223372036854775808`: 365 * day, `315360000`: 365 * day,
	`31535999`: 365*day - time.Second, `86400`: day,
	// Missing, or no number: a minute.
	`null`: time.Minute, `""`: time.Minute, `" "`: time.Minute, `true`: time.Minute, `false`: time.Minute, `{}`: time.Minute, `[60]`: time.Minute,
	`{"seconds":60}`: time.Minute, `"soon"`: time.Minute, `"60s"`: time.Minute, `"1 800"`: time.Minute, `"1,800"`: time.Minute,
	`"NaN"`: time.Minute, `"nan"`: time.Minute, `"Inf"`: time.Minute, `"-inf"`: time.Minute, `"Infinity"`: time.Minute,
	`"0x10"`: time.Minute, `"0x1p4"`: time.Minute, `"0x_1p4"`: time.Minute, `"1_800"`: time.Minute, `"+60"`: time.Minute, `"٦٠"`: time.Minute,
	`"\"60\""`: time.Minute, `"null"`: time.Minute, `"2026-03-01T12:00:00Z"`: time.Minute,
}

func TestParseExpiresIn(t *testing.T) {
	for raw, want := range lifetimes {
		if !json.Valid([]byte(raw)) {
			t.Fatalf("%s is not JSON", raw)
		}
		if got := parseExpiresIn(json.RawMessage(raw)); got != want {
			t.Errorf("parseExpiresIn(%s) = %v, want %v", raw, got, want)
		}
	}
	if got := parseExpiresIn(nil); got != time.Minute {
		t.Errorf("parseExpiresIn of nothing = %v, want 1m", got)
	}
}

// Whatever stands there: a whole number of seconds within a year, and for a plain
// number of seconds exactly that.
func FuzzExpiresIn(f *testing.F) {
	for raw := range lifetimes {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := parseExpiresIn(json.RawMessage(raw))
		if got < 0 || got > 365*day || got%time.Second != 0 {
			t.Errorf("parseExpiresIn(%s) = %v", raw, got)
		}
		var n int64
		if err := json.Unmarshal([]byte(raw), &n); err == nil && strings.TrimSpace(raw) == raw && raw != "null" {
			if want := time.Duration(min(max(n, 0), int64(365*day/time.Second))) * time.Second; got != want {
				t.Errorf("parseExpiresIn(%s) = %v, want %v", raw, got, want)
			}
			if quoted := parseExpiresIn(json.RawMessage(`"` + raw + `"`)); quoted != got {
				t.Errorf("parseExpiresIn of %s = %v, of the same as a string %v", raw, got, quoted)
			}
		}
		// In an answer it is read the same way, or the answer is refused.
		if token, err := parseResponse([]byte(`{"access_token":"t","expires_in":` + raw + `}`)); err == nil &&
			strings.TrimLeft(raw, " \t\r\n") == raw && !strings.Contains(raw, ",") &&
			token.ExpiresIn != parseExpiresIn(json.RawMessage(strings.TrimRight(raw, " \t\r\n"))) {
			t.Errorf("expires_in %q: %v in an answer", raw, token.ExpiresIn)
		}
	})
}

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// pauses: Retry-After, and what is made of it at now.
var pauses = map[string]time.Duration{
	"": 0, "0": 0, "1": time.Second, "120": 2 * time.Minute, " 120 ": 2 * time.Minute, "007": 7 * time.Second,
	"Sun, 01 Mar 2026 12:00:30 GMT":  30 * time.Second,
	"Sunday, 01-Mar-26 12:00:30 GMT": 30 * time.Second,
	"Sun Mar  1 12:00:30 2026":       30 * time.Second,
	"Sun, 01 Mar 2026 11:59:59 GMT":  0, "Thu, 01 Jan 1970 00:00:00 GMT": 0, "Sat, 01 Jan 0001 00:00:00 GMT": 0,
	"Fri, 31 Dec 9999 23:59:59 GMT": 365 * day,
	"31536001":                      365 * day, "18446744073709551615": 365 * day, "18446744073709551616": 365 * day,
	strings.Repeat("9", 300): 365 * day,
	"-1":                     0, "+5": 0, "1.5": 0, "5s": 0, "0x10": 0, "1e3": 0, "1_0": 0, "soon": 0, "NaN": 0, "5, 6": 0, "٦": 0, "\x00": 0,
	"Sun, 01 Mar 2026 12:00:30": 0, "2026-03-01T12:00:30Z": 0, "Sun, 99 Mar 2026 12:00:30 GMT": 0,
}

func TestParseRetryAfter(t *testing.T) {
	for text, want := range pauses {
		if got := parseRetryAfter(text, now); got != want {
			t.Errorf("parseRetryAfter(%q) = %v, want %v", text, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for text := range pauses {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := parseRetryAfter(text, now); got < 0 || got > 365*day {
			t.Errorf("parseRetryAfter(%q) = %v", text, got)
		}
		if _, err := http.ParseTime(text); err == nil {
			return
		}
		for n := range 3 { // whatever n is put before it, a sane answer
			if got := parseRetryAfter(fmt.Sprint(n)+text, now); got < 0 || got > 365*day {
				t.Errorf("parseRetryAfter(%q) = %v", text, got)
			}
		}
	})
}
