package proxy

import (
	"os"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/strict"
)

// A head that is refused before any handler runs ends as every other refusal
// does: in the envelope, in one line of the log, in one Record.
func TestRefusedHeadIsAnsweredLoggedAndCounted(t *testing.T) {
	if os.Getenv("MONITE_LISTENER") == "std" {
		t.Skip("net/http answers by itself")
	}
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) { p.UntilCut() })
	r := newRig(t, o.URL)
	for _, c := range []struct {
		said string
		why  strict.Violation
		want *problem
	}{
		{"GET /v1/x\r\n\r\n", strict.RequestLine, &problemFraming}, {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", strict.Preface, &problemMethod},
		{"GET /v1/x HTTP/2.0\r\n\r\n", strict.Version, &problemVersion},
		{"GET http://evil.example/v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n", strict.Target, &problemTarget},
		{"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", strict.Target, &problemMethod},
		{get("/" + strings.Repeat("a", maxTargetBytes)), strict.TargetTooLong, &problemTargetTooLong},
		{"GET /v1/x HTTP/1.1\nHost: localhost\n\n", strict.BareLF, &problemFraming}, {get("/v1/x", "X: a\r\n canary"), strict.Fold, &problemFraming},
		{get("/v1/x", "X : canary"), strict.FieldName, &problemFraming}, {get("/v1/x", "X: canary\x00"), strict.FieldValue, &problemFraming},
		{get("/v1/x", "X: "+strings.Repeat("b", maxHeaderBytes)), strict.HeadTooLarge, &problemHeaderTooLarge},
		{"GET /v1/x HTTP/1.1\r\n\r\n", strict.HostMissing, &problemFraming},
		{get("/v1/x", "Host: localhost"), strict.HostRepeated, &problemFraming},
		{"GET /v1/x HTTP/1.1\r\nHost: a b\r\n\r\n", strict.HostMalformed, &problemHost},
		{get("/v1/x", "Content-Length: canary"), strict.LengthMalformed, &problemFraming},
		{get("/v1/x", "Content-Length: 1", "Content-Length: 1"), strict.LengthRepeated, &problemFraming},
		{get("/v1/x", "Content-Length: 1", "Transfer-Encoding: chunked"), strict.LengthAndCoding, &problemFraming},
		{get("/v1/x", "Transfer-Encoding: gzip"), strict.Coding, &problemCoding},
		{"GET /v1/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", strict.CodingTooOld, &problemFraming},
		{get("/v1/x", "Transfer-Encoding: chunked", "Trailer: Content-Length"), strict.Trailer, &problemFraming},
		{get("/v1/x", "Expect: canary"), strict.Expectation, &problemExpectation},
	} {
		a := r.dial()
		a.Say(c.said + get("/v1/canary"))
		response, body, err := a.Response("GET")
		if err != nil {
			t.Fatalf("%v: %v", c.why, err)
		}
		checkOurs(t, response, body, c.want, NotSent, "")
		if !response.Close {
			t.Errorf("%v: the connection goes on", c.why)
		}
		a.Closed()
		record := r.record()
		if record.Violation != c.why.String() || record.ErrorType != c.want.kind || record.Status != c.want.status || record.Outcome != NotSent ||
			record.Origin != OriginProxy || record.Sent {
			t.Errorf("%v: record = %+v", c.why, record)
		}
		if !strings.Contains(r.log.String(), `"violation":"`+c.why.String()+`"`) {
			t.Errorf("%v: not in the log", c.why)
		}
	}
	if log := r.log.String(); strings.Contains(log, "canary") || strings.Count(log, `"message":"request"`) != 21 {
		t.Errorf("log = %s", log)
	}
	if asked, _, _ := r.tokens.counts(); asked != 0 || o.Accepted.Load() != 0 {
		t.Errorf("%d tokens asked for, %d connections", asked, o.Accepted.Load())
	}
}
