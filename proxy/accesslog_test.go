package proxy

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// logFields are those of LogFields, and those of the line about a panic.
var logFields = func() (names []string) {
	for _, field := range LogFields {
		names = append(names, field.Name)
	}
	return append(names, "panic", "stack")
}()

var nasty = []string{"a\nb", "a\r\n{\"level\":\"fatal\"}", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u2028x\u2029", "\x00", "\x7f",
	`"},{"x":"`, `\n`, "\xff\xfe", strings.Repeat("x", 5000), "<script>", "%0a%1b", "\u202eevil", "\ufeff"}

// What came in over the wire cannot say these; what calls the handler could.
func TestEveryLineOfTheLogIsOneJSONObject(t *testing.T) {
	var log wiretest.Buffer
	config := Config{
		Origin: &url.URL{Scheme: "http", Host: "x"}, Tokens: &tokenBook{}, APIVersion: "2024-05-25", MaxInFlight: 10, MaxBodyBytes: 100,
		Policy: policies["open"], Log: zerolog.New(&log).Level(zerolog.TraceLevel),
		Upstream: tripFunc(func(out *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"X-Request-Id": out.Header["X-Theirs"]}, Body: http.NoBody}, nil
		}),
	}
	h := New(config)
	requests := 0
	for _, text := range nasty {
		for _, change := range []func(*http.Request){
			func(in *http.Request) { in.RequestURI = "/v1/" + text }, func(in *http.Request) { in.RequestURI = "/v1/x?" + text },
			func(in *http.Request) { in.Method = text }, func(in *http.Request) { in.Host = text },
			func(in *http.Request) { in.Header["X-Request-Id"] = []string{text} }, func(in *http.Request) { in.Header["X-Theirs"] = []string{text} },
			func(in *http.Request) { in.Header[text] = []string{text} },
			func(in *http.Request) { in.Header[identity.HeaderEntity] = []string{text} },
			func(in *http.Request) { in.Header["Origin"] = []string{text} }, func(in *http.Request) { in.Header["Connection"] = []string{text} },
			func(in *http.Request) { in.Header["X-Monite-Version"] = []string{text} },
			func(in *http.Request) { in.URL = &url.URL{Path: "/" + text}; in.RequestURI = text },
		} {
			in := httptest.NewRequest("GET", "/v1/payables", nil)
			in.Host, in.RequestURI = "localhost", "/v1/payables"
			change(in)
			requests++
			w := httptest.NewRecorder()
			h.ServeHTTP(w, in)
			if w.Code != 200 && !json.Valid(w.Body.Bytes()) && in.Method != "HEAD" {
				t.Errorf("%q: answer %d %q", text, w.Code, w.Body)
			}
		}
	}
	lines := checkLines(t, log.String())
	if lines != requests {
		t.Errorf("%d lines for %d requests", lines, requests)
	}
	t.Logf("%d requests", requests)
}

// checkLines checks each line, and returns the number of "request" lines.
func checkLines(t *testing.T, log string) (requests int) {
	t.Helper()
	scanner := bufio.NewScanner(strings.NewReader(log))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		for name := range fields {
			if !slices.Contains(logFields, name) {
				t.Errorf("unknown field %q in %q", name, line)
			}
		}
		for _, c := range line {
			if c < ' ' || c == 0x7f || c == 0x1b || c == '\u2028' || c == '\u2029' || c == '\u202e' {
				t.Errorf("%U in %q", c, line)
			}
		}
		if fields["message"] == "request" {
			requests++
		}
	}
	return requests
}

// spellings are the ways in which a value could have got out.
func spellings(canary string) []string {
	half := canary[:len(canary)/2]
	return []string{canary, half, base64.StdEncoding.EncodeToString([]byte(canary)), base64.RawURLEncoding.EncodeToString([]byte(canary)),
		hex.EncodeToString([]byte(canary)), strings.ToUpper(hex.EncodeToString([]byte(canary))), url.QueryEscape(canary), url.PathEscape(canary),
		strings.ToUpper(canary)}
}

type canaryTokens struct {
	tokenBook
	text string
}

func (c *canaryTokens) Token(ctx context.Context, grant tokencache.Grant) (secret.String, error) {
	if _, err := c.tokenBook.Token(ctx, grant); err != nil {
		return secret.String{}, err
	}
	return secret.New(c.text), nil
}

// At trace level, through good and bad ends: nothing of the request or of the
// token is in the log, nor in an answer of ours.
func TestNothingOfTheRequestIsInTheLog(t *testing.T) {
	t.Parallel()
	canaries := map[string]string{
		"token": "c4n4ry/token+value==", "query": "c4n4ryquery&=", "path": "c4n4rypath", "header": "c4n4ryheader", "body": "c4n4rybody",
		"answer": "c4n4ryanswer", "app token": "c4n4ryapptoken", "cookie": "c4n4rycookie", "host": "c4n4ryhost",
	}
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for {
			in, _, err := p.Request()
			if err != nil {
				return
			}
			switch {
			case strings.HasSuffix(in.URL.Path, "/broken"):
				return
			case strings.HasSuffix(in.URL.Path, "/garbage"):
				p.Say("HTTP/1.1 200 OK\r\nBroken " + canaries["answer"] + in.Header.Get("Authorization") + "\r\n\r\n")
				return
			case strings.HasSuffix(in.URL.Path, "/cut"):
				p.Say("HTTP/1.1 200 OK\r\nX-A: " + canaries["answer"] + "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + canaries["answer"] + "\r\n")
				return
			case strings.HasSuffix(in.URL.Path, "/slow"):
				p.UntilCut()
				return
			case strings.HasSuffix(in.URL.Path, "/401"):
				p.Say(answer(401, "application/json", `{"error":{"message":"`+canaries["answer"]+in.Header.Get("Authorization")+`"}}`))
			default:
				p.Say(answer(200, "a/b", canaries["answer"]))
			}
		}
	})
	r := newRig(t, o.URL, shortTimeouts)
	r.handler.config.Tokens = &canaryTokens{text: canaries["token"]}
	var ours strings.Builder
	for _, end := range []string{"good", "broken", "garbage", "cut", "slow", "401", "..", "auth", "%zz", "a;b"} {
		for _, fields := range [][]string{nil, {"Origin: " + canaries["header"]}, {"Connection: " + canaries["header"]},
			{"X-Monite-Version: " + canaries["header"]}, {identity.HeaderEntity + ": " + canaries["header"]},
			{"X-Request-Id: " + canaries["header"] + " x"}, {"Transfer-Encoding: chunked"}, {"Upgrade: " + canaries["header"]}} {
			if end == "slow" && fields != nil {
				continue
			}
			body := canaries["body"]
			if len(fields) > 0 && strings.HasPrefix(fields[0], "Transfer") {
				body = "3\r\nabc\r\n" + body + "\r\n"
			} else {
				fields = append(fields, "Content-Length: 10")
			}
			target := "/v1/payables/" + canaries["path"] + "/" + end + "?q=" + url.QueryEscape(canaries["query"]) + "&" + canaries["query"]
			response, text, err := r.say(head("POST", target,
				append(fields, "X-H: "+canaries["header"], "Cookie: "+canaries["cookie"], "Authorization: Bearer "+canaries["header"],
					"X-Monite-Proxy-Token: "+canaries["app token"])...) + "\r\n" + body)
			if err == nil && response.Header.Get("Proxy-Status") != "" {
				ours.WriteString(text)
				_ = response.Header.Write(&ours)
			}
		}
	}
	for _, raw := range []string{"GARBAGE " + canaries["header"] + "\r\n\r\n", "GET /" + canaries["path"] + " HTTP/9.9\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: " + canaries["host"] + "\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\nbad " + canaries["header"] + "\r\n\r\n"} {
		a := r.dial()
		a.Say(raw)
		_, _ = io.ReadAll(a.Reader)
	}
	wiretest.Eventually(t, "every request has ended", func() bool { return r.handler.InFlight() == 0 && r.open.Load() == 0 })
	log := r.log.String()
	if checkLines(t, log) < 60 {
		t.Errorf("too few lines: %s", log)
	}
	for name, canary := range canaries {
		for _, spelling := range spellings(canary) {
			if strings.Contains(log, spelling) {
				i := strings.Index(log, spelling)
				t.Errorf("the %s is in the log: ...%s", name, log[max(0, i-300):i+40])
			}
			if strings.Contains(ours.String(), spelling) {
				t.Errorf("the %s is in an answer of ours", name)
			}
		}
	}
	for _, id := range []string{entityA, userA} {
		if strings.Contains(log, id) {
			t.Errorf("the id %s is in the log", id)
		}
	}
}

func TestLevelOfALine(t *testing.T) {
	for _, c := range []struct {
		record Record
		want   zerolog.Level
	}{
		{Record{Status: 200, Origin: OriginUpstream}, zerolog.InfoLevel}, {Record{Status: 404, Origin: OriginUpstream}, zerolog.InfoLevel},
		{Record{Status: 500, Origin: OriginUpstream}, zerolog.WarnLevel}, {Record{Status: 200, Origin: OriginUpstream, Aborted: true}, zerolog.WarnLevel},
		{Record{Status: 403, Origin: OriginProxy}, zerolog.InfoLevel}, {Record{Status: 502, Origin: OriginProxy}, zerolog.ErrorLevel},
		{Record{Status: statusClientGone, Origin: OriginProxy}, zerolog.DebugLevel},
		// Somebody may have to find out what became of a write whose app went away.
		{Record{Status: statusClientGone, Method: "POST", Outcome: Unknown}, zerolog.WarnLevel},
		{Record{Status: statusClientGone, Method: "DELETE", Outcome: Unknown}, zerolog.WarnLevel},
		{Record{Status: statusClientGone, Method: "POST", Outcome: NotSent}, zerolog.DebugLevel},
		{Record{Status: statusClientGone, Method: "GET", Outcome: Unknown}, zerolog.DebugLevel},
	} {
		if got := level(&c.record); got != c.want {
			t.Errorf("level(%+v) = %v, want %v", c.record, got, c.want)
		}
		var log wiretest.Buffer
		told := &call{Context: t.Context(), log: &accessLog{log: zerolog.New(&log).Level(zerolog.WarnLevel)},
			in: httptest.NewRequest("GET", "/", nil), record: c.record}
		told.tell()
		if got := log.String() != ""; got != (c.want >= zerolog.WarnLevel) {
			t.Errorf("%+v at warn: %q", c.record, log.String())
		}
	}
}

// Whoever adds a problem with a status of 5xx says here who must look at it.
func TestLevelOfEveryProblem(t *testing.T) {
	levels := map[string]zerolog.Level{
		"proxy_coding_refused": zerolog.InfoLevel, "proxy_version_refused": zerolog.InfoLevel, "proxy_upgrade_refused": zerolog.InfoLevel,
		"proxy_overloaded": zerolog.WarnLevel, "proxy_rate_limited": zerolog.WarnLevel, "proxy_draining": zerolog.WarnLevel,
		"proxy_idempotency_unavailable": zerolog.ErrorLevel,
		"proxy_internal_error":          zerolog.ErrorLevel, "proxy_token_rejected": zerolog.ErrorLevel, "proxy_token_unavailable": zerolog.ErrorLevel,
		"proxy_upstream_unreachable": zerolog.ErrorLevel, "proxy_upstream_broken": zerolog.ErrorLevel, "proxy_upstream_timeout": zerolog.ErrorLevel,
	}
	for _, p := range allProblems {
		want, named := levels[p.kind]
		switch {
		case p.status < 500:
			want = zerolog.InfoLevel
		case !named:
			t.Errorf("%s is not in the table", p.kind)
			continue
		}
		if got := level(&Record{Status: p.status, Origin: OriginProxy, ErrorType: p.kind, Outcome: NotSent}); got != want {
			t.Errorf("a line of %d %s has level %v, want %v", p.status, p.kind, got, want)
		}
	}
}

// fullRecord has something to say in every field.
func fullRecord(t *testing.T) Record {
	record := Record{}
	fields := reflect.ValueOf(&record).Elem()
	for i := range fields.NumField() {
		switch field := fields.Field(i); field.Interface().(type) {
		case string, Outcome:
			field.SetString("x")
		case bool:
			field.SetBool(true)
		case int, int64, time.Duration:
			field.SetInt(1)
		case time.Time:
			field.Set(reflect.ValueOf(time.Now()))
		default:
			// A Record is kept in the history: it must not hold on to anything.
			if name := fields.Type().Field(i).Name; name != "Err" {
				t.Errorf("Record.%s is a %s: not plain", name, field.Type())
			}
		}
	}
	record.Err = errors.New("x")
	return record
}

// A field of the table that says nothing when there is something to say is a field
// that somebody searches in vain.
func TestLineHasTheFieldsOfTheTable(t *testing.T) {
	var log, audit strings.Builder
	c := &call{
		Context: t.Context(), record: fullRecord(t), in: httptest.NewRequest("POST", "/v1/x", nil),
		identity: identity.Identity{Grant: asUserB, EntityID: entityB},
		log: &accessLog{log: zerolog.New(&log).With().Timestamp().Logger(), auditLog: zerolog.New(&audit).With().Timestamp().Logger(),
			listener: "here"},
	}
	c.tell()
	for line, text := range map[string]string{"request": log.String(), "audit": audit.String()} {
		var got map[string]any
		if err := json.Unmarshal([]byte(text), &got); err != nil || got["message"] != line {
			t.Fatalf("%s: %v %q", line, err, text)
		}
		for _, field := range LogFields {
			if field.In != line && field.In != "both" || field.Name == "peer_uid" { // that is known of a unix socket alone
				continue
			}
			if _, written := got[field.Name]; !written {
				t.Errorf("%s: no %s in %s", line, field.Name, text)
			}
			delete(got, field.Name)
		}
		for name := range got {
			t.Errorf("%s: %s is not in the table", line, name)
		}
	}
}
