package upstream

import (
	"net/http"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestTraceTellsTheFacts(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okBody("hello")))
	tr := transport(t, o)
	for i := range 2 {
		var trace Trace
		req := newRequest(t.Context(), o, "POST", "/v1/x", mem("body"), 4)
		start := time.Now()
		mustDo(t, tr, req.WithContext(WithTrace(req.Context(), &trace)))
		want := int64(len("POST /v1/x HTTP/1.1\r\nHost: " + o.URL.Host + "\r\nContent-Length: 4\r\n\r\nbody"))
		if trace.WroteBytes != want || !trace.WroteAll {
			t.Errorf("WroteBytes, WroteAll = %d, %v, want %d, true", trace.WroteBytes, trace.WroteAll, want)
		}
		if reused := i > 0; trace.ConnReused != reused || (trace.DialDuration == 0) != reused {
			t.Errorf("ConnReused, DialDuration = %v, %v in request %d", trace.ConnReused, trace.DialDuration, i+1)
		}
		if trace.FirstByte.Before(start) || time.Now().Before(trace.FirstByte) {
			t.Errorf("FirstByte = %v, want it during the round trip", trace.FirstByte)
		}
	}
}

func TestTraceIsFilledOnFailure(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		_, _ = http.ReadRequest(p.Reader)
		p.Cut(true)
	})
	tr := transport(t, o)
	var trace Trace
	req := newRequest(t.Context(), o, "POST", "/v1/x", mem("body"), 4)
	_, err := tr.RoundTrip(req.WithContext(WithTrace(req.Context(), &trace)))
	wantError(t, err, OpRead, Unknown)
	if trace.WroteBytes == 0 || !trace.WroteAll || !trace.FirstByte.IsZero() {
		t.Errorf("trace = %+v, want bytes written and no first byte", trace)
	}
}

func TestTraceOfUnfinishedUpload(t *testing.T) {
	o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		if _, err := http.ReadRequest(p.Reader); err == nil {
			p.Say(tooLarge)
			p.UntilCut()
		}
	})
	tr := transport(t, o)
	var trace Trace
	req := newRequest(t.Context(), o, "POST", "/v1/x", &endless{}, -1)
	mustDo(t, tr, req.WithContext(WithTrace(req.Context(), &trace)))
	if trace.WroteBytes == 0 || trace.WroteAll {
		t.Errorf("WroteBytes, WroteAll = %d, %v, want some, false", trace.WroteBytes, trace.WroteAll)
	}
}
