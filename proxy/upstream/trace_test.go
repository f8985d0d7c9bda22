package upstream

import (
	"context"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestTraceHasTheTimeOfTheDial(t *testing.T) {
	o := wiretest.Listen(t, nil, wiretest.Answering(okBody("hello")))
	tr := transport(t, o)
	for i := range 2 {
		var trace Trace
		req := newRequest(t.Context(), o, "POST", "/v1/x", mem("body"), 4)
		mustDo(t, tr, req.WithContext(context.WithValue(req.Context(), TraceKey{}, &trace)))
		if reused := i > 0; (trace.DialDuration == 0) != reused {
			t.Errorf("DialDuration = %v in request %d", trace.DialDuration, i+1)
		}
	}
}
