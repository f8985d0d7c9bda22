package proxy

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// The token endpoint is reached by an upstream.Transport too. How that broke
// says nothing of the app's request, which was never sent.
func TestBrokenTokenEndpointIsNoBrokenUpstream(t *testing.T) {
	t.Parallel()
	for _, broken := range []upstream.Error{
		{Op: upstream.OpRead, Outcome: upstream.Unknown, Err: syscall.ECONNRESET},
		{Op: upstream.OpRead, Outcome: upstream.Unknown, Timeout: true, Err: errors.New("slow")},
		{Op: upstream.OpConnLimit, Outcome: upstream.NotSent, Err: errors.New("busy")},
		{Op: upstream.OpDial, Outcome: upstream.NotSent, Err: syscall.ECONNREFUSED},
	} {
		noToken := &tokencache.Error{
			GrantType: tokencache.ClientCredentials, Reason: tokencache.Unavailable, RetryAfter: 2 * time.Second,
			Cause: &tokencache.FetchError{Reason: tokencache.Unavailable, Err: &broken},
		}
		f := new(call).classify(noToken)
		if f.problem != &problemTokenUnavailable || f.outcome != NotSent || f.retryAfter != 2*time.Second {
			t.Errorf("%v: %s, outcome %s, retry after %v", noToken, f.kind, f.outcome, f.retryAfter)
		}
	}
}
