package strict

import (
	"fmt"
	"strings"
	"testing"
)

type refusal struct {
	said string
	why  Violation
}

func long(n int) string { return strings.Repeat("a", n) }

// refusals are heads that are refused, and the first rule that each breaks.
func refusals() []refusal {
	all := []refusal{}
	add := func(why Violation, said ...string) {
		for _, text := range said {
			all = append(all, refusal{text, why})
		}
	}
	line := func(text string) string { return text + "\r\n" + host + "\r\n" }
	field := func(text string) string { return "GET /v1/x HTTP/1.1\r\n" + host + text + "\r\n\r\n" }
	framed := func(fields ...string) string { return post("/v1/x", "abc", fields...) }

	add(RequestLine, line("GET /v1/x"), line("GET  /v1/x HTTP/1.1"), line("GET /v1/x  HTTP/1.1"), line("GET\t/v1/x HTTP/1.1"),
		line("GET /v1/x HTTP/1.1 "), line(" GET /v1/x HTTP/1.1"), line("GET"), line("GET HTTP/1.1"),
		line("G(T /v1/x HTTP/1.1"), line("G\x00T /v1/x HTTP/1.1"), line("GÄT /v1/x HTTP/1.1"), line("GET /v1/x http/1.1"),
		line("GET /v1/x HTTP/11"), line("GET /v1/x HTTP/1.10"), line("GET /v1/x HTTP/a.1"), line("GET /v1/x HTTP/1,1"),
		line("GET /v1/x HTTPS/1.1"), line("GET /v1/x FTP/1.1"),
		line("GET /a b HTTP/1.1"), "\r\n"+get("/v1/x"), "\x16\x03\x01\x02\x00\x01\x00", "*1\r\n$4\r\nPING\r\n", "EHLO x\r\n", "\x00", "\r\n\r\n",
		line("GET /v1/x\rHTTP/1.1"), line("GET /v1/x HTTP/1.1\r"))
	add(Preface, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	add(Version, line("GET /v1/x HTTP/2.0"), line("GET /v1/x HTTP/1.2"), line("GET /v1/x HTTP/0.9"), line("GET /v1/x HTTP/3.0"),
		line("GET /v1/x HTTP/9.9"), line("PRI /x HTTP/2.0"))
	add(Target, line("GET http://evil.example/v1/x HTTP/1.1"), line("GET http://localhost/v1/x HTTP/1.1"), line("OPTIONS * HTTP/1.1"),
		line("CONNECT evil.example:443 HTTP/1.1"), line("GET v1/x HTTP/1.1"), line("GET ?x HTTP/1.1"), line(`GET \v1 HTTP/1.1`),
		line("GET /v1/x#frag HTTP/1.1"), line("GET /v1/\x00 HTTP/1.1"), line("GET /v1/\x7f HTTP/1.1"), line("GET /v1/\t HTTP/1.1"),
		line("GET /v1/ü HTTP/1.1"), line("GET /v1/%zz HTTP/1.1"), line("GET /v1/% HTTP/1.1"), line("GET /v1/%4 HTTP/1.1"),
		line("GET /v1/x?a\x01 HTTP/1.1"), line("GET /v1/\r/x HTTP/1.1"))
	add(TargetTooLong, line("GET /"+long(maxTarget)+" HTTP/1.1"), "GET /"+long(maxTarget+maxAround), "GET /v1?"+long(1<<20))
	add(BareLF, "GET /v1/x HTTP/1.1\n"+host+"\r\n", "GET /v1/x HTTP/1.1\r\nHost: localhost\n\r\n", "GET /v1/x HTTP/1.1\r\n"+host+"\n",
		"GET /v1/x HTTP/1.1\nHost: localhost\n\n", "GET /v1/x HTTP/1.1\r\n"+host+"X: a\nY: b\r\n\r\n", "GET /\n")
	add(Fold, field("X: a\r\n b"), field("X: a\r\n\tb"), "GET /v1/x HTTP/1.1\r\n "+host+"\r\n", field(" X: a"), field("X: a\r\n "),
		field("Content-Length:\r\n 3"))
	add(FieldName, field("X : a"), field("X\t: a"), field("no colon"), field(": a"), field("X Y: a"), field("X\x00Y: a"), field("Xü: a"),
		field("X(: a"), field("\"X\": a"), field("X\u00a0: a"), field("Content-Length : 3"), field("Transfer-Encoding : chunked"),
		field("\x0b: a"), field("X[]: a"), field("{"))
	add(FieldValue, field("X: a\x00b"), field("X: a\rb"), field("X: \x01"), field("X: a\x7f"), field("X: a\x0b"), field("X: \x1b[31m"),
		field("X: a\r"), "GET /v1/x HTTP/1.1\r\n"+host+"X: a\r\r\n\r\n", field("Content-Length: 3\x0b"))
	add(HeadTooLarge, field("X: "+long(maxFieldBytes)), get("/", many(maxFields+1, "X-%d: 1")...), get("/", many(maxFields+1, "X: %d")...),
		"GET / HTTP/1.1\r\nX: "+long(1<<20), "GET / HTTP/1.0\r\n"+strings.Join(many(maxFields+1, "X-%d: 1"), "\r\n")+"\r\n\r\n")
	add(HostMissing, "GET /v1/x HTTP/1.1\r\n\r\n", "GET /v1/x HTTP/1.1\r\nHosts: localhost\r\n\r\n", "GET /v1/x HTTP/1.1\r\nX: Host: localhost\r\n\r\n")
	add(HostRepeated, field("Host: localhost"), field("host: evil.example"), field("HOST:"), "GET /v1/x HTTP/1.0\r\n"+host+host+"\r\n")
	add(HostMalformed, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: localhost\"\r\n\r\n", "GET / HTTP/1.1\r\nHost: a<b\r\n\r\n", "GET / HTTP/1.1\r\nHost: ü\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a^b\r\n\r\n")
	for _, length := range []string{"", "x", "-1", "+3", "3,3", "3, 3", "3 3", "0x3", "3.0", "1e1", "3\t3", "9223372036854775808",
		"99999999999999999999", "18446744073709551619", "٣", "3;", "\"3\"", "3\xa0"} {
		add(LengthMalformed, framed("Content-Length: "+length))
	}
	add(LengthRepeated, framed("Content-Length: 3", "Content-Length: 3"), framed("Content-Length: 3", "Content-Length: 4"),
		framed("Content-Length: 3", "content-length: 3"), framed("Content-Length: 3", "X: y", "Content-Length: 0"))
	add(LengthAndCoding, framed("Content-Length: 3", "Transfer-Encoding: chunked"), framed("Transfer-Encoding: chunked", "Content-Length: 3"),
		framed("Content-Length: 0", "Transfer-Encoding: identity"), framed("Transfer-Encoding: ", "Content-Length: 3"),
		framed("content-length: 3", "TRANSFER-ENCODING: chunked"))
	for _, coding := range []string{"gzip", "gzip, chunked", "chunked, chunked", "chunked, gzip", "identity", "", "xchunked", "chunkedx",
		"\"chunked\"", "chunked;q=1", ",chunked", "chunked,", "chunked chunked", "deflate", "chunked\u00a0", "x, chunked", "cow"} {
		add(Coding, framed("Transfer-Encoding: "+coding))
	}
	add(Coding, framed("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
		framed("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), framed("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"))
	add(CodingTooOld, "POST / HTTP/1.0\r\n"+host+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.0\r\n"+host+"Transfer-Encoding: identity\r\n\r\n")
	for _, name := range []string{"Content-Length", "transfer-encoding", "Trailer", "X, Content-Length", "X,trailer,Y"} {
		add(Trailer, framed("Transfer-Encoding: chunked", "Trailer: "+name))
	}
	add(Expectation, framed("Content-Length: 3", "Expect: 200-ok"), framed("Content-Length: 3", "Expect: "),
		framed("Content-Length: 3", "Expect: 100-continue, x"), framed("Content-Length: 3", "Expect: 100-continue", "Expect: 100-continue"),
		get("/", "Expect: 100"), "GET / HTTP/1.0\r\nExpect: x\r\n\r\n")
	return all
}

func many(n int, format string) (fields []string) {
	for i := range n {
		fields = append(fields, fmt.Sprintf(format, i))
	}
	return fields
}

// acceptedHeads are odd ones that there is only one way to read.
func acceptedHeads() []string {
	return []string{
		get("/"), get("/v1/x"), get("/v1/x?a=b&c=%zz"), get("/v1/x?"), get("/v1/x??"), get("//evil/x"), get("/v1/%20%C3%BC"), get("/v1/a;b"),
		get(`/v1/a\b`), get("/v1/x?a?b"), get("/v1/*'()!"), get("/v1/a:b@c&d=e+f$g,h"), get(`/"<>^{}|` + "`"), get("/%2f/%2F"), get("/v1/[x]"),
		get("/" + long(maxTarget-1)), get("/", "X: "+long(maxFieldBytes-100)), get("/", many(maxFields, "X-%d: 1")...),
		get("/", many(maxFields, "X: %d")...),
		"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n\r\n",
		"GET / HTTP/1.0\r\n" + host + "Connection: close, keep-alive\r\n\r\n", "POST / HTTP/1.0\r\n" + host + "Content-Length: 3\r\n\r\nabc",
		"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
		get("/", "Connection: close"), get("/", "Connection: CLOSE, x"), get("/", "Connection: x", "Connection: close"),
		get("/", "Connection: closer"), get("/", "Connection: x close"), get("/", "Connection: close\tx"),
		"GET / HTTP/1.0\r\nConnection: x\r\nConnection: keep-alive\r\n\r\n", "GET / HTTP/1.0\r\nConnection: x, keep-alive\r\n\r\n",
		get("/", "Connection: keep-alive"), get("/", "Connection: , close ,"),
		get("/", "X:"), get("/", "X: "), get("/", "X:\t a \t"), get("/", "X:a", "X: b", "x: c"), get("/", "X: a", "Y: b", "X: c", "Y: d"),
		get("/", "X: \xff\x80ü"), get("/", "x_y.z!#$%&'*+-^`|~: 1"),
		get("/", "content-TYPE: a/b", "USER-AGENT: x", "x-monite-entity-id: y", "sec-CH-ua: z"), get("/", "X: a:b: c"),
		get("/", "Pragma: no-cache"), get("/", "Pragma: no-cache", "Cache-Control: no-cache"), get("/", "Trailer: Content-Length"),
		"GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nhost: LOCALHOST:80\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
		"GET / HTTP/1.1\r\nX: y\r\nHost: localhost\r\n\r\n",
		"OPTIONS /x HTTP/1.1\r\n" + host + "\r\n", "TRACE /x HTTP/1.1\r\n" + host + "\r\n", "X-Y$ /x HTTP/1.1\r\n" + host + "\r\n",
		"get /x HTTP/1.1\r\n" + host + "\r\n", "PRI /x HTTP/1.1\r\n" + host + "\r\n", "HEAD /x HTTP/1.1\r\n" + host + "\r\n",
		post("/v1/x", ""), post("/v1/x", "", "Content-Length: 0"), post("/v1/x", "abc", "Content-Length: 3"),
		post("/v1/x", "abc", "content-length:3"), post("/v1/x", "abc", "Content-Length: 0000000000000000003"),
		post("/v1/x", "", "Content-Length: 00"), post("/v1/x", "abc", "Content-Length: \t3 "),
		post("/v1/x", "abc", "Content-Length: 3", "Expect: 100-Continue"), post("/v1/x", "", "Expect: 100-continue"),
		post("/v1/x", long(100_000), "Content-Length: 100000"), post("/v1/x", "short", "Content-Length: 9223372036854775807"),
		get("/", "Content-Length: 3") + "abc", post("/v1/x", chunked("abc"), "Transfer-Encoding: chunked"),
		post("/v1/x", chunked("abc", long(5000)), "transfer-encoding:CHUNKED", "Trailer: X, Y"),
		post("/v1/x", chunked(), "Transfer-Encoding: \tchunked "),
	}
}

type chunkedBody struct {
	said, want string
	ok         bool
}

func chunkedBodies() []chunkedBody {
	return []chunkedBody{
		{chunked("abc"), "abc", true}, {chunked("abc", "d", long(300)), "abcd" + long(300), true}, {chunked(), "", true},
		{"0003\r\nabc\r\n000\r\n\r\n", "abc", true}, {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789", true},
		{"3\r\nabc\r\n0\r\nX: y\r\n\r\n", "abc", true}, {"3\r\nabc\r\n0\r\nX: y\r\nZ: a\r\n\r\n", "abc", true},
		{"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n", "abc", true},

		{"3\nabc\r\n0\r\n\r\n", "", false}, {"3\r\nabc\n0\r\n\r\n", "", false}, {"3\r\nabc\r\n0\n\r\n", "", false},
		{"3\r\nabc\r\n0\r\n\n", "", false}, {"3\r\nabc0\r\n\r\n", "", false}, {"3\r\nabcd\r\n0\r\n\r\n", "", false}, {"4\r\nabc\r\n0\r\n\r\n", "", false},
		{"-3\r\nabc\r\n0\r\n\r\n", "", false}, {"+3\r\nabc\r\n0\r\n\r\n", "", false}, {"0x3\r\nabc\r\n0\r\n\r\n", "", false},
		{" 3\r\nabc\r\n0\r\n\r\n", "", false}, {"3 \r\nabc\r\n0\r\n\r\n", "", false}, {"3\t\r\nabc\r\n0\r\n\r\n", "", false},
		{"\r\nabc\r\n0\r\n\r\n", "", false}, {"g\r\n\r\n", "", false}, {"3_0\r\n", "", false},
		{"0000000000000003\r\nabc\r\n0\r\n\r\n", "abc", true}, {"fffffffffffffffff\r\n", "", false}, {"8000000000000000\r\n", "", false},
		{"ffffffffffffffff\r\n", "", false}, {"00000000000000003\r\nabc\r\n0\r\n\r\n", "", false},
		{"10000000000000003\r\nabc\r\n0\r\n\r\n", "", false}, {"3\r\r\nabc\r\n0\r\n\r\n", "", false}, {"3\r\nabc\r\n0\r\r\n\r\n", "", false},
		{"3;x\r\nabc\r\n0\r\n\r\n", "", false}, {"3;x=y\r\nabc\r\n0\r\n\r\n", "", false}, {"3\r\nabc\r\n0;z\r\n\r\n", "", false},
		{"3 ;x\r\nabc\r\n0\r\n\r\n", "", false}, {"3; x\r\nabc\r\n0\r\n\r\n", "", false}, {"3;\r\nabc\r\n0\r\n\r\n", "", false},
		{"3;x=\r\nabc\r\n0\r\n\r\n", "", false}, {"3;x=\"\r\nabc\r\n0\r\n\r\n", "", false}, {"3;x=\"\n\"\r\nabc\r\n0\r\n\r\n", "", false},
		{"3;\x00\r\nabc\r\n0\r\n\r\n", "", false}, {"3;x=\"\\\"\"\r\nabc\r\n0\r\n\r\n", "", false},
		{"3;" + long(300) + "\r\nabc\r\n0\r\n\r\n", "", false},
		{strings.Repeat("1;"+long(200)+"\r\na\r\n", 30) + "0\r\n\r\n", "", false},
		{"3\r\nabc\r\n0\r\nX : y\r\n\r\n", "", false}, {"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n", "", false},
		{"3\r\nabc\r\n0\r\nno colon\r\n\r\n", "", false}, {"3\r\nabc\r\n0\r\nX: \x00\r\n\r\n", "", false},
		{"3\r\nabc\r\n0\r\nX: " + long(5000) + "\r\n\r\n", "", false}, {"3\r\nabc\r\n0\r\n" + strings.Repeat("X: y\r\n", 1000) + "\r\n", "", false},
		{"3\r\nab", "", false}, {"3\r\nabc\r\n", "", false}, {"3\r\nabc\r\n0\r\n", "", false}, {"3", "", false}, {"", "", false}, {"3\r\nabc\r", "", false},
	}
}

// Each head is refused before any handler runs, by the rule that it breaks, and
// is the last of its connection.
func TestAmbiguousHeadIsRefusedByItsRule(t *testing.T) {
	seen := map[Violation]int{}
	for _, c := range refusals() {
		var refused []Violation
		all, answer := readings([]byte(c.said+get("/canary")+get("/canary")), ours(&refused))
		if len(all) != 0 || len(refused) != 1 || refused[0] != c.why {
			t.Errorf("%.100q: %d requests, refused %v, want %v", c.said, len(all), refused, c.why)
		}
		if strings.Count(answer, "HTTP/1.1 ") != 1 || !strings.HasPrefix(answer, "HTTP/1.1 400 ") ||
			!strings.Contains(answer, "\r\nConnection: close\r\n") {
			t.Errorf("%.100q: answer %q", c.said, answer)
		}
		seen[c.why]++
	}
	for why := RequestLine; why <= Expectation; why++ {
		if seen[why] == 0 {
			t.Errorf("no head is refused as %v", why)
		}
	}
	t.Logf("%d heads: %v", len(refusals()), seen)
}

// The same bytes in every cut: the verdict does not depend on how they arrive.
func TestVerdictDoesNotDependOnTheReads(t *testing.T) {
	for _, c := range refusals() {
		if len(c.said) > 2000 {
			continue
		}
		for step := 1; step <= 3; step++ {
			var s scan
			var h head
			why := None
			for n := min(step, len(c.said)); ; n = min(n+step, len(c.said)) {
				length := 0
				if length, why = s.next([]byte(c.said[:n])); why != None {
					break
				}
				if length > 0 {
					why = h.parse(c.said[:length], s.lines)
					break
				}
				if n == len(c.said) {
					break
				}
			}
			if why != c.why {
				t.Errorf("%.100q by %d: %v, want %v", c.said, step, why, c.why)
			}
		}
	}
}

func TestAcceptedHeadIsReadAsNetHTTPReadsIt(t *testing.T) {
	for _, said := range acceptedHeads() {
		for _, more := range []string{"", get("/next"), post("/next", "x", "Content-Length: 1") + get("/last")} {
			accepted, refused := checkSame(t, []byte(said+more))
			if len(refused) > 0 || accepted == 0 && !strings.Contains(said, "short") {
				t.Errorf("%.100q: %d accepted, %v", said, accepted, refused)
			}
		}
	}
}

func TestChunkedBodyIsReadInOneWayOrNotAtAll(t *testing.T) {
	for _, c := range chunkedBodies() {
		said := post("/v1/x", c.said, "Transfer-Encoding: chunked")
		var refused []Violation
		all, _ := readings([]byte(said), ours(&refused))
		if len(all) != 1 || all[0].BodyErr == c.ok || c.ok && all[0].Body != c.want || len(refused) > 0 {
			t.Errorf("%.100q: %+v, %v; want %q, %v", c.said, all, refused, c.want, c.ok)
		}
		if accepted, _ := checkSame(t, []byte(said+get("/next"))); c.ok && accepted != 2 || !c.ok && accepted != 0 {
			t.Errorf("%.100q: %d requests read as net/http does", c.said, accepted)
		}
	}
}

func TestNamesAreCanonical(t *testing.T) {
	for name, want := range map[string]string{
		"Content-Type": "Content-Type", "content-type": "Content-Type", "CONTENT-TYPE": "Content-Type", "x-b3-TRACEID": "X-B3-Traceid", "a": "A",
		"-a-": "-A-", "x_y": "X_y", "1a-2B": "1a-2b", strings.Repeat("ab-", 40): strings.Repeat("Ab-", 40),
	} {
		if got := canonical(name); got != want {
			t.Errorf("canonical(%q) = %q, want %q", name, got, want)
		}
	}
}
