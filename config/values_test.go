package config

import (
	"strings"
	"testing"
)

// badValues are single variables that are refused. They are also seeds of the
// fuzz target. want is the whole message after "want ", or its end if it begins
// with "...".
var badValues = []struct{ name, value, want string }{
	{"MONITE_CLIENT_ID", `"quoted"`, "...(it has quotes around it)"},
	{"MONITE_CLIENT_ID", " ", "...(it has a space in it)"},
	{"MONITE_CLIENT_SECRET", "a\r\nb", "...(it has a line break in it)"},
	{"MONITE_CLIENT_SECRET", "secret\n", "...(it has a line break in it)"},
	{"MONITE_CLIENT_SECRET", "\ufeffsecret", "...(it starts with a byte order mark)"},
	{"MONITE_CLIENT_SECRET", strings.Repeat("x", 8193), "...(it is longer than 8192 bytes)"},
	{"MONITE_APP_TOKEN", "two words", "...(it has a space in it)"},

	{"MONITE_ENVIRONMENT", "production", "sandbox, eu or us"},
	{"MONITE_ENVIRONMENT", "EU", "sandbox, eu or us"},
	{"MONITE_ENVIRONMENT", "custom", "sandbox, eu or us"},

	{"MONITE_API_URL", "api.monite.com", "...(it does not begin with https://)"},
	{"MONITE_API_URL", "ftp://api.monite.com", "...(it does not begin with https://)"},
	{"MONITE_API_URL", "api.monite.com:443", "...(it does not begin with https://)"},
	{"MONITE_API_URL", "https:api.monite.com", "...(it has no host)"},
	{"MONITE_API_URL", "https://", "...(it has no host)"},
	{"MONITE_API_URL", "https:///v1", "...(it has no host)"},
	{"MONITE_API_URL", "https://:443", "...(it has no host)"},
	{"MONITE_API_URL", "https://user@api.monite.com", "...(it has a user in it)"},
	{"MONITE_API_URL", "https://user:pass@api.monite.com", "...(it has a user in it)"},
	{"MONITE_API_URL", "https://@api.monite.com", "...(it has a user in it)"},
	{"MONITE_API_URL", "https://api.monite.com?x=1", "...(it has a query or a fragment)"},
	{"MONITE_API_URL", "https://api.monite.com?", "...(it has a query or a fragment)"},
	{"MONITE_API_URL", "https://api.monite.com#", "...(it has a query or a fragment)"},
	{"MONITE_API_URL", "https://api.monite.com/v2", "...(it has a path other than /v1)"},
	{"MONITE_API_URL", "https://api.monite.com/v1/payables", "...(it has a path other than /v1)"},
	{"MONITE_API_URL", "https://api.monite.com//v1", "...(it has a path other than /v1)"},
	{"MONITE_API_URL", "https://api.monite.com/%76%31", "...(it has a path other than /v1)"},
	{"MONITE_API_URL", "https://api.monite.com:", "...(its host or port is not valid)"},
	{"MONITE_API_URL", "https://api.monite.com:0", "...(its host or port is not valid)"},
	{"MONITE_API_URL", "https://api.monite.com:65536", "...(its host or port is not valid)"},
	{"MONITE_API_URL", "https://api.monite.com:https", "...(it is not a URL)"},
	{"MONITE_API_URL", "https://[fe80::1%25eth0]", "...(its host or port is not valid)"},
	{"MONITE_API_URL", "https://a..b", "...(its host or port is not valid)"},
	{"MONITE_API_URL", "https://-a.b", "...(its host or port is not valid)"},
	{"MONITE_API_URL", "https://127.1", "...(its host or port is not valid)"},
	{"MONITE_API_URL", "https://*.monite.com", "...(its host or port is not valid)"},
	{"MONITE_API_URL", " https://api.monite.com", "...(it has a space or a byte that is not printable ASCII in it)"},
	{"MONITE_API_URL", "https://api.monite.com\r\nX: 1", "...(it has a space or a byte that is not printable ASCII in it)"},
	{"MONITE_API_URL", "https://аpi.monite.com", "...(it has a space or a byte that is not printable ASCII in it)"}, // a Cyrillic а
	{"MONITE_API_URL", "http://api.monite.com", "an https:// origin: http:// is only for loopback, or with MONITE_ALLOW_PLAINTEXT_UPSTREAM=true"},
	{"MONITE_API_URL", "http://10.0.0.1", "an https:// origin: http:// is only for loopback, or with MONITE_ALLOW_PLAINTEXT_UPSTREAM=true"},
	{"MONITE_API_URL", "http://localhost.evil.example",
		"an https:// origin: http:// is only for loopback, or with MONITE_ALLOW_PLAINTEXT_UPSTREAM=true"},
	{"MONITE_API_URL", "http://127.0.0.1.evil.example",
		"an https:// origin: http:// is only for loopback, or with MONITE_ALLOW_PLAINTEXT_UPSTREAM=true"},

	{"MONITE_API_URL", "https://api.tesouro.com", "...other paths and other names of header fields"},
	{"MONITE_API_URL", "https://api.sandbox.tesouro.com/v1", "...other paths and other names of header fields"},
	{"MONITE_API_URL", "https://Tesouro.COM.:8443", "...other paths and other names of header fields"},
	{"MONITE_API_URL", "http://x.y.tesouro.com", "...other paths and other names of header fields"},

	{"MONITE_API_VERSION", "2024-5-25", "a date such as 2024-05-25"},
	{"MONITE_API_VERSION", "2024-02-30", "a date such as 2024-05-25"},
	{"MONITE_API_VERSION", "latest", "a date such as 2024-05-25"},
	{"MONITE_API_VERSION", "2024-05-25\r\nX: 1", "a date such as 2024-05-25"},

	{"MONITE_GRANT_TYPE", "password", "client_credentials or entity_user"},
	{"MONITE_GRANT_TYPE", "Entity_User", "client_credentials or entity_user"},
	{"MONITE_ENTITY_ID", "123", "a UUID"},
	{"MONITE_ENTITY_ID", "{" + idA + "}", "a UUID"},
	{"MONITE_ENTITY_ID", strings.ReplaceAll(idA, "-", ""), "a UUID"},
	{"MONITE_ENTITY_ID", strings.Replace(idA, "0000", "000g", 1), "a UUID"},
	{"MONITE_ENTITY_USER_ID", idA + "\n", "a UUID"},
	{"MONITE_ALLOWED_ENTITY_IDS", idA + "," + idB + ",", "UUIDs with commas between them, or a lone *"},
	{"MONITE_ALLOWED_ENTITY_IDS", "*," + idA, "UUIDs with commas between them, or a lone *"},
	{"MONITE_ALLOWED_ENTITY_IDS", idA + " " + idB, "UUIDs with commas between them, or a lone *"},
	{"MONITE_ALLOWED_ENTITY_IDS", "**", "UUIDs with commas between them, or a lone *"},
	{"MONITE_ALLOWED_ENTITY_IDS", ",", "UUIDs with commas between them, or a lone *"},
	{"MONITE_ALLOWED_ENTITY_IDS", "  ", "UUIDs with commas between them, or a lone *"},
	{"MONITE_ALLOWED_ENTITY_USER_IDS", "all", "UUIDs with commas between them, or a lone *"},

	{"MONITE_LISTEN_ADDR", "0.0.0.0:8080", "a loopback address, or MONITE_ALLOW_REMOTE=true with it"},
	{"MONITE_LISTEN_ADDR", ":8080", "a loopback address, or MONITE_ALLOW_REMOTE=true with it"},
	{"MONITE_LISTEN_ADDR", "[::]:8080", "a loopback address, or MONITE_ALLOW_REMOTE=true with it"},
	{"MONITE_LISTEN_ADDR", "192.168.1.1:8080", "a loopback address, or MONITE_ALLOW_REMOTE=true with it"},
	{"MONITE_LISTEN_ADDR", "[fe80::1%lo]:8080", "a loopback address, or MONITE_ALLOW_REMOTE=true with it"},
	{"MONITE_LISTEN_ADDR", "8080", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "localhost", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "localhost:http", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "localhost:", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "localhost:65536", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "localhost:-1", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "myhost:8080", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "127.1:8080", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "::1:8080", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "http://127.0.0.1:8080", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "unix:relative.sock", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "unix:", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "unix:/run/", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "unix:@abstract", "...at most 107 bytes"},
	{"MONITE_LISTEN_ADDR", "unix:/" + strings.Repeat("x", 107), "...at most 107 bytes"},
	{"MONITE_ADMIN_ADDR", "127.0.0.1:8080", "another address than that of MONITE_LISTEN_ADDR"},
	{"MONITE_ADMIN_ADDR", ":8080", "another address than that of MONITE_LISTEN_ADDR"},
	{"MONITE_ADMIN_ADDR", "localhost:8080", "another address than that of MONITE_LISTEN_ADDR"},
	{"MONITE_ADMIN_ADDR", "[::1]:8080", "another address than that of MONITE_LISTEN_ADDR"},
	{"MONITE_ADMIN_ADDR", "admin", "...at most 107 bytes"},

	{"MONITE_ALLOWED_HOSTS", "*", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "*.example.com", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "http://app", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "app/v1", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "app,", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "app:x", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "user@app", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "app..", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "1.2.3", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "0x7f000001", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "[::1", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "[127.0.0.1]", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "fe80::1%eth0", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", "bücher.example", "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", idA, "...without wildcards and without http://"},
	{"MONITE_ALLOWED_HOSTS", strings.Repeat("a.", 130) + "example", "...without wildcards and without http://"},

	{"MONITE_ALLOW_REMOTE", "yes", "true or false"},
	{"MONITE_READ_ONLY", " true", "true or false"},
	{"MONITE_QUIT_ENDPOINT", "on", "true or false"},
	{"MONITE_STATUS_PAGE", "no", "true or false"},
	{"MONITE_PROXY_FROM_ENV", "2", "true or false"},
	{"MONITE_LOG_LEVEL", "INFO", "trace, debug, info, warn or error"},
	{"MONITE_LOG_LEVEL", "fatal", "trace, debug, info, warn or error"},
	{"MONITE_LOG_FORMAT", "text", "json or console"},
	{"MONITE_AUDIT_LOG", "audit.log", "the absolute path of a file, in a directory that exists (it is not an absolute path)"},
	{"MONITE_AUDIT_LOG", "/tmp/../etc/audit", "the absolute path of a file, in a directory that exists (it is not an absolute path)"},
	{"MONITE_AUDIT_LOG", "/no/such/place/audit",
		"the absolute path of a file, in a directory that exists (its directory does not exist, or is the root)"},
	{"MONITE_AUDIT_LOG", "/audit", "the absolute path of a file, in a directory that exists (its directory does not exist, or is the root)"},
	{"MONITE_AUDIT_LOG", "/usr/bin", "the absolute path of a file, in a directory that exists (it is a directory)"},

	{"MONITE_IDENTITIES_FILE", "/none/x", "...named identities (no such file or directory)"},
	{"MONITE_VEND_ADDR", ":1", "a loopback address, or MONITE_ALLOW_REMOTE=true with it"},
	{"MONITE_VEND_ADDR", "localhost:8080", "another address than those of MONITE_LISTEN_ADDR and MONITE_ADMIN_ADDR"},
	{"MONITE_VEND_ADDR", "127.0.0.1:8081", "another address than those of MONITE_LISTEN_ADDR and MONITE_ADMIN_ADDR"},
	{"MONITE_VEND_ADDR", "unix:vend.sock", named("MONITE_VEND_ADDR").accepts},
	{"MONITE_MAX_MINTS_PER_SECOND", "0", "a whole number from 1 to 10000"},
	{"MONITE_MAX_MINTS_PER_SECOND", "10001", "a whole number from 1 to 10000"},
	{"MONITE_TOKEN_HANDLES", "maybe", "true or false"},
	{"MONITE_LISTENER", "Strict", "strict or std"},
}

func TestBadValueIsRefusedByNameWithWhatIsAccepted(t *testing.T) {
	for _, tc := range badValues {
		_, err := load(t, map[string]string{tc.name: tc.value})
		got := lines(err)
		if len(got) != 1 {
			t.Errorf("%s=%q: mistakes %q, want one", tc.name, tc.value, got)
			continue
		}
		accepts, found := strings.CutPrefix(got[0], tc.name+": want ")
		end, isEnd := strings.CutPrefix(tc.want, "...")
		plain, _, _ := strings.Cut(accepts, " (") // faultOf has a test of its own
		if !found || isEnd && !strings.HasSuffix(accepts, end) && !strings.HasSuffix(plain, end) || !isEnd && accepts != tc.want && plain != tc.want {
			t.Errorf("%s=%q: %q, want %q", tc.name, tc.value, got[0], tc.want)
		}
	}
}

// goodValues are single variables, and how they show as the effective value.
var goodValues = []struct{ name, value, want string }{
	{"MONITE_CLIENT_SECRET", "!\"#$%'()~", "[redacted]"},
	{"MONITE_ENVIRONMENT", "us", "us"},
	{"MONITE_API_URL", "https://api.monite.com", "https://api.monite.com"},
	{"MONITE_API_URL", "https://api.monite.com/", "https://api.monite.com"},
	{"MONITE_API_URL", "https://api.monite.com/v1", "https://api.monite.com"},
	{"MONITE_API_URL", "https://api.monite.com/v1/", "https://api.monite.com"},
	{"MONITE_API_URL", "HTTPS://API.Monite.com.:443/v1", "https://api.monite.com"},
	{"MONITE_API_URL", "https://api.monite.com:8443", "https://api.monite.com:8443"},
	{"MONITE_API_URL", "https://api.dev.monite.com", "https://api.dev.monite.com"},
	{"MONITE_API_URL", "https://[2001:DB8::1]:444", "https://[2001:db8::1]:444"},
	{"MONITE_API_URL", "https://[2001:db8::1]", "https://[2001:db8::1]"},
	{"MONITE_API_URL", "https://nottesouro.com", "https://nottesouro.com"},
	{"MONITE_API_URL", "https://tesouro.com.example", "https://tesouro.com.example"},
	{"MONITE_API_URL", "http://localhost:9000/v1", "http://localhost:9000"},
	{"MONITE_API_URL", "http://127.1.2.3", "http://127.1.2.3"},
	{"MONITE_API_URL", "http://[::1]:80", "http://[::1]"},
	{"MONITE_API_VERSION", "2023-06-04", "2023-06-04"},
	{"MONITE_ENTITY_ID", strings.ToUpper(idA), "aaaaaaaa-..."},
	{"MONITE_ALLOWED_ENTITY_IDS", " " + idA + " , " + idB, "aaaaaaaa-...,bbbbbbbb-..."},
	{"MONITE_ALLOWED_ENTITY_IDS", " * ", "*"},
	{"MONITE_LISTEN_ADDR", "localhost:0", "localhost:0"},
	{"MONITE_LISTEN_ADDR", "LOCALHOST:08080", "localhost:8080"},
	{"MONITE_LISTEN_ADDR", "[::1]:08080", "[::1]:8080"},
	{"MONITE_LISTEN_ADDR", "127.9.9.9:1", "127.9.9.9:1"},
	{"MONITE_LISTEN_ADDR", "unix:///run/monite/./p.sock", "unix:/run/monite/p.sock"},
	{"MONITE_LISTEN_ADDR", "unix:/" + strings.Repeat("x", 106), "unix:/" + strings.Repeat("x", 106)},
	{"MONITE_ADMIN_ADDR", ":8081", ":8081"},
	{"MONITE_ADMIN_ADDR", "[::1]:8082", "[::1]:8082"},
	{"MONITE_ADMIN_ADDR", "10.1.2.3:8080", "10.1.2.3:8080"},
	{"MONITE_ALLOWED_HOSTS", "App.Example.COM.:8080, my_app ,10.0.0.1:80,[2001:DB8:0::1]:80,::ffff:10.0.0.2,app.example.com",
		"app.example.com,my_app,10.0.0.1,2001:db8::1,10.0.0.2"},
	{"MONITE_READ_ONLY", "1", "true"},
	{"MONITE_TOKEN_HANDLES", "1", "true"},
	{"MONITE_LISTENER", "std", "std"},
	{"MONITE_REFRESH_BEFORE", "1h30m", "1h30m"},
	{"MONITE_REFRESH_BEFORE", "3600s", "1h"},
}

func TestGoodValueTakesEffect(t *testing.T) {
	for _, tc := range goodValues {
		cfg, err := load(t, map[string]string{tc.name: tc.value})
		if err != nil {
			t.Errorf("%s=%q: %v", tc.name, tc.value, err)
			continue
		}
		got, source := "", ""
		for _, s := range cfg.Redacted() {
			if s.Name == tc.name {
				got, source = s.Value, s.Source
			}
		}
		if got != tc.want || tc.want != "" && source != "environment" {
			t.Errorf("%s=%q: effective %q from %q, want %q from environment", tc.name, tc.value, got, source, tc.want)
		}
	}
}
