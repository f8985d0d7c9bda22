package config

import (
	"strings"
	"testing"
)

func TestMistakeSaysWhatIsWrongWithTheValue(t *testing.T) {
	for _, tc := range []struct{ name, value, want string }{
		{"MONITE_TOKEN_TIMEOUT", "10", "10: a unit is missing, such as in 10s"},
		{"MONITE_TOKEN_TIMEOUT", "12345678", "a unit is missing, such as in 10s"},
		{"MONITE_TOKEN_TIMEOUT", "10 s", "it has a space in it"},
		{"MONITE_TOKEN_TIMEOUT", "1d", "days and weeks are not units here: use h"},
		{"MONITE_TOKEN_TIMEOUT", "10sec", "its unit is not one of ms, s, m and h"},
		{"MONITE_TOKEN_TIMEOUT", "soon", "it is not a number with a unit"},
		{"MONITE_TOKEN_TIMEOUT", "1ms", "it is below 50ms"},
		{"MONITE_TOKEN_TIMEOUT", "-1s", "it is below 50ms"},
		{"MONITE_TOKEN_TIMEOUT", "6m", "it is above 5m"},
		{"MONITE_TOKEN_TIMEOUT", "99999999999h", "it is above 5m"},
		{"MONITE_TOKEN_TIMEOUT", `"10s"`, "the value is in quotes"},
		{"MONITE_TOKEN_TIMEOUT", "10s\n", "it has a line break in it"},
		{"MONITE_TOKEN_TIMEOUT", " 10s", "it has white space around it"},
		{"MONITE_TOKEN_TIMEOUT", "  ", "it is only white space"},
		{"MONITE_MAX_IN_FLIGHT", "0", "it is below 1"},
		{"MONITE_MAX_IN_FLIGHT", "-5", "it is below 1"},
		{"MONITE_MAX_IN_FLIGHT", "2000000", "it is above 1000000"},
		{"MONITE_MAX_IN_FLIGHT", "99999999999999999999", "it is above 1000000"},
		{"MONITE_MAX_IN_FLIGHT", "1_000", "it has characters that are not digits"},
		{"MONITE_MAX_IN_FLIGHT", "1.5", "it has characters that are not digits"},
		{"MONITE_MAX_BODY_BYTES", "32MiB", "it has a unit or another letter in it"},
		{"MONITE_MAX_IN_FLIGHT", "lots", "it is not a number"},
		{"MONITE_READ_ONLY", "Yes", "yes is not understood: write true"},
		{"MONITE_READ_ONLY", "off", "off is not understood: write false"},
		{"MONITE_READ_ONLY", "2", "it is neither"},
		{"MONITE_READ_ONLY", "'true'", "the value is in quotes"},
		{"MONITE_LOG_LEVEL", "INFO", "did you mean info?"},
		{"MONITE_LOG_LEVEL", "warning", "did you mean warn?"},
		{"MONITE_LOG_LEVEL", "verbose-output", "it is another word"},
		{"MONITE_GRANT_TYPE", "client-credentials", "did you mean client_credentials?"},
		{"MONITE_ENTITY_ID", strings.ReplaceAll(idA, "-", ""), "its hyphens are missing"},
		{"MONITE_ENTITY_ID", "{" + idA + "}", "it has braces around it"},
		{"MONITE_ENTITY_ID", idA[:35], "it has 35 characters, a UUID has 36"},
		{"MONITE_ENTITY_ID", strings.Replace(idA, "a", "x", 1), "it has a character where a UUID has none, or a hyphen elsewhere"},
		{"MONITE_ALLOWED_ENTITY_IDS", idA + "," + idB[:30], "number 2 of the list: it has 30 characters, a UUID has 36"},
		{"MONITE_ALLOWED_ENTITY_IDS", idA + ",", "number 2 of the list: it is empty"},
		{"MONITE_ALLOWED_ENTITY_IDS", idA + ",*", "* means all and must stand alone"},
		{"MONITE_LISTEN_ADDR", "8080", "8080: the colon is missing: write localhost:PORT"},
		{"MONITE_LISTEN_ADDR", "localhost", "the port is missing"},
		{"MONITE_LISTEN_ADDR", "localhost:", "the port is missing"},
		{"MONITE_LISTEN_ADDR", "localhost:http", "the port is not a number"},
		{"MONITE_LISTEN_ADDR", "localhost:99999", "the address or the port is not valid"},
		{"MONITE_LISTEN_ADDR", "example.com:80", "the host is not an IP address"},
		{"MONITE_LISTEN_ADDR", "http://localhost:80", "it is a URL"},
		{"MONITE_LISTEN_ADDR", "/run/a.sock", "unix: is missing before the path"},
		{"MONITE_LISTEN_ADDR", "unix:a.sock", "the path is not absolute, ends in a slash, or is too long"},
		{"MONITE_LISTEN_ADDR", "::1:8080", "an IPv6 address needs brackets around it"},
		{"MONITE_API_VERSION", "2024-5-25", "it is not a year, month and day of 4, 2 and 2 digits with hyphens between them"},
		{"MONITE_API_VERSION", "2024-02-30", "the calendar has no such day"},
		{"MONITE_SOCKET_MODE", "660", "it has 3 digits"},
		{"MONITE_SOCKET_MODE", "rw--", "it has characters that are not octal digits"},
		{"MONITE_SOCKET_MODE", "0400", "the owner must be able to read and write"},
		{"MONITE_SOCKET_MODE", "1777", "it is above 0777"},
		{"MONITE_ALLOWED_PEER_UIDS", "root", "names are not numbers: see id -u NAME"},
		{"MONITE_ALLOWED_PEER_UIDS", "1,,2", "a number in it is empty or too large"},
	} {
		_, err := load(t, map[string]string{tc.name: tc.value})
		got := lines(err)
		if want := tc.name + ": want " + named(tc.name).accepts + " (" + tc.want + ")"; len(got) != 1 || got[0] != want {
			t.Errorf("%s=%q: mistakes %q, want %q", tc.name, tc.value, got, want)
		}
	}
}

func FuzzFaultNeverHoldsTheValue(f *testing.F) {
	for _, tc := range badValues {
		f.Add(tc.value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, v := range variables {
			fault := faultOf(v, value)
			// Short texts and words of our own may meet by chance.
			if len(value) > 16 && strings.Contains(fault, value) && !strings.Contains(v.accepts, value) {
				t.Errorf("%s: %q holds the value", v.name, fault)
			}
		}
	})
}

func TestUnknownKeyIsNamedUnlessItMayBeASecret(t *testing.T) {
	for key, want := range map[string]string{
		"entity_uuid":                "another key: did you mean entity_id? (entity_uuid is not known)",
		"comment":                    "another key (comment is not known)",
		"hunter2":                    "another key",
		"a-very-long-key-of-letters": "another key",
	} {
		path := writeFile(t, t.TempDir()+"/identities", "identities:\n- name: a\n  grant_type: client_credentials\n  "+key+": x\n")
		_, err := load(t, map[string]string{"MONITE_IDENTITIES_FILE": path})
		got := lines(err)
		if len(got) != 1 || got[0] != "MONITE_IDENTITIES_FILE line 4: want "+want {
			t.Errorf("%s: mistakes %q, want %q", key, got, want)
		}
	}
}
