package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// Every field that somebody would like to have removed, by every way to say so
// in Connection: refused, and nothing sent. The same fields beside every harmless
// Connection: upstream sees one credential and one entity, and no Connection.
func TestConnectionCannotRemoveWhatIsOurs(t *testing.T) {
	names := map[string]string{
		"Authorization": "Bearer x", identity.HeaderEntity: entityB, "X-Monite-Version": "2024-01-31", "Content-Length": "", "Content-Type": "a/b", "Host": "", "X-Request-Id": "r1", "Transfer-Encoding": "", "Cookie": "a=b", "Accept": "*/*",
		"X-Monite-Proxy-Token": "t", "Proxy-Authorization": "Basic x", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example", "X-Real-Ip": "1.2.3.4", "Forwarded": "for=x", "X-Original-Url": "/v1/auth/token", "X-Rewrite-Url": "/x", "X-Http-Method-Override": "DELETE",
		"Trailer": "Authorization", "Keep-Alive": "timeout=5", "Proxy-Connection": "close", "Content-Encoding": "x", "User-Agent": "x", "X-Custom": "x", "Connection": "",
	}
	refused := []string{"Connection: %s", "Connection: close, %s", "Connection: %s, close", "Connection:\r\nConnection: %s", "Connection: keep-alive\r\nConnection: %s", "Connection: %[1]s\r\nConnection: %[1]s", "Connection: ,%s,", "connection:\t%s \t", "Connection: te\r\nConnection:\r\nconnection: %s"}
	harmless := []string{"", "Connection:\r\n", "Connection: keep-alive\r\n", "Connection: Keep-Alive\r\nConnection:\r\n", "Connection:\r\nConnection:\r\n", "Connection: te\r\n", "Connection: ,\r\n", "connection: keep-alive,, te\r\nTE: trailers\r\n"}
	o := newEchoOrigin(t)
	r := newRig(t, o.url)
	no := 0
	for name := range names {
		if name == "Keep-Alive" || name == "Trailer" || name == "Proxy-Connection" { // options of their own, whose fields end here
			continue
		}
		for _, shape := range refused {
			a := r.dial()
			a.say(get("/v1/refused", strings.Split(strings.ReplaceAll(strings.ReplaceAll(shape, "%[1]s", name), "%s", strings.ToLower(name)), "\r\n")...) + get("/v1/after"))
			response, body := a.want("GET", http.StatusBadRequest)
			checkOurs(t, response, body, &problemHeader, NotSent, "")
			a.closed()
			no++
		}
	}
	if len(o.seen) > 0 {
		t.Errorf("upstream saw %v", o.seen)
	}
	asked, _, _ := r.tokens.counts()
	yes := 0
	for name, value := range names {
		for i, shape := range harmless {
			field := shape
			if value != "" {
				field += name + ": " + value + "\r\n"
			}
			a := r.dial()
			target := fmt.Sprintf("/v1/%s/%d", strings.ToLower(name), i)
			for range 2 { // the second on the same connection
				a.say("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + field + "\r\n")
				if _, body := a.want("GET", 200); body != target+" " {
					t.Errorf("%q: answer %q", field, body)
				}
			}
			_ = a.Close()
			yes++
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, complaint := range o.complaints {
		t.Errorf("upstream saw %s", complaint)
	}
	if asked != 0 || len(o.seen) != 2*yes {
		t.Errorf("%d tokens asked for by refused requests; %d requests upstream, want %d", asked, len(o.seen), 2*yes)
	}
	t.Logf("%d names: %d refused, %d forwarded twice each", len(names), no, yes)
}

// Identity fields in every spelling, on the wire: refused, or exactly one
// entity goes out and it is the one that was allowed.
func TestIdentityIsOneValueOrARefusal(t *testing.T) {
	o := newEchoOrigin(t)
	r := newRig(t, o.url, func(c *Config, _ *upstream.Transport) { c.Policy = policies["allow"] })
	spellings := func(name string) []string {
		all := []string{name, strings.ToLower(name), strings.ToUpper(name)}
		for _, other := range []string{"_", ".", "~", "!", "'", "|", "^", "`", "*", "+", "$", "&", "#"} {
			all = append(all, strings.ReplaceAll(name, "-", other), strings.Replace(name, "-", other, 1), name[:strings.LastIndexByte(name, '-')]+other+name[strings.LastIndexByte(name, '-')+1:], name+other)
		}
		return append(all, name+"-", name+"--", name+"_-", strings.ToLower(strings.ReplaceAll(name, "-", "_")), strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
	}
	rows, refused, passed := 0, 0, 0
	try := func(want string, fields ...string) {
		rows++
		a := r.dial()
		defer func() { _ = a.Close() }()
		a.say(get("/v1/x", fields...))
		response, body, err := a.answer("GET")
		switch {
		case err != nil:
			t.Errorf("%q: %v", fields, err)
		case want == "":
			if response.StatusCode != http.StatusBadRequest && response.StatusCode != http.StatusForbidden || response.Header.Get("X-Monite-Proxy-Outcome") != string(NotSent) {
				t.Errorf("%q: %d %s", fields, response.StatusCode, body)
			}
			refused++
		default:
			if response.StatusCode != http.StatusOK {
				t.Errorf("%q: %d %s", fields, response.StatusCode, body)
			}
			passed++
		}
	}
	for _, name := range []string{identity.HeaderEntity, identity.HeaderUser, identity.HeaderName} {
		id := map[string]string{identity.HeaderEntity: entityB, identity.HeaderUser: userA, identity.HeaderName: "billing"}[name]
		for i, spelling := range spellings(name) {
			if want := "passes"; i < 3 && name != identity.HeaderName {
				try(want, spelling+": "+id)
			} else {
				try("", spelling+": "+id)
			}
			try("", spelling+": "+id, name+": "+id)
			try("", name+": "+id, spelling+": "+id)
		}
	}
	for _, value := range []string{"", entityB + ",", entityB + "," + entityA, entityB + " " + entityA, "\u00a0" + entityB, entityB + "\u00a0", "{" + entityB + "}", `"` + entityB + `"`, strings.ReplaceAll(entityB, "-", ""), "0x" + entityB, entityB + ";q=1", strings.Repeat("2", 36), "null", "*", "../" + entityB, entityB + "%00", "\u0662" + entityB[2:]} {
		try("", identity.HeaderEntity+": "+value)
		try("", identity.HeaderUser+": "+value)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, complaint := range o.complaints {
		t.Errorf("upstream saw %s", complaint)
	}
	if len(o.seen) != passed || passed != 6 {
		t.Errorf("%d requests upstream for %d that pass", len(o.seen), passed)
	}
	t.Logf("%d rows: %d refused, %d forwarded", rows, refused, passed)
}
