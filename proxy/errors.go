package proxy

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// problem is one kind of answer that the proxy makes. Its texts are fixed: they
// never hold what came in, and never the word by which a Monite SDK recognises
// an old token, or it would start over.
type problem struct {
	status        int
	kind          string // error.type
	message, hint string
	proxyStatus   string // RFC 9209 section 2.3, the error type
}

// failed is a problem that occurred.
type failed struct {
	*problem
	outcome Outcome
	// retryAfter is rounded up to seconds. 0: no Retry-After.
	retryAfter time.Duration
	// cause goes to the log. nil where the app is at fault.
	cause error
}

func (f *failed) Error() string {
	if f.cause == nil {
		return f.kind
	}
	return f.kind + ": " + f.cause.Error()
}

func (f *failed) Unwrap() error { return f.cause }

// refuse makes the answer to a request that was not sent.
func refuse(p *problem) *failed { return &failed{problem: p, outcome: NotSent} }

// statusClientGone is what the log says of a request whose app went away. It is
// nginx's number; no app ever sees it.
const statusClientGone = 499

// lingerTimeout is how long the rest of a body is read that nobody wants. To
// close at once would be to reset the connection, and the app might lose the
// answer.
const lingerTimeout = 500 * time.Millisecond

// errClientGone: nobody is left to answer.
var errClientGone = errors.New("the app went away")

// classify turns an error of the steps below into a problem. It is the only
// place that knows the errors of the token cache and of the upstream
// connections.
func classify(err error, record *Record) *failed {
	if f, ok := errors.AsType[*failed](err); ok {
		return f
	}
	f := &failed{problem: &problemInternal, outcome: NotSent, cause: err}
	if record.Sent {
		f.outcome = Unknown
	}
	tokenErr, noToken := errors.AsType[*tokencache.Error](err)
	if noToken {
		f.problem, f.retryAfter = &problemTokenUnavailable, tokenErr.RetryAfter
		switch tokenErr.Reason {
		case tokencache.Paced:
			f.problem = &problemTokenPaced
		case tokencache.Rejected:
			f.problem = &problemTokenRejected
			if tokenErr.GrantType == tokencache.EntityUser {
				f.problem = &problemUserTokenRejected
			}
		}
		f.outcome = NotSent
	}
	if errors.Is(err, tokencache.ErrClosed) {
		f.problem, f.outcome, f.retryAfter = &problemDraining, NotSent, time.Second
	}
	// The token endpoint is reached by the same kind of connection, and its errors
	// are the cause of those without a token: they say nothing of this request.
	if sendErr, ok := errors.AsType[*upstream.Error](err); ok && !noToken {
		f.problem, f.outcome = upstreamProblem(sendErr), Unknown
		if sendErr.Outcome == upstream.NotSent {
			f.outcome = NotSent
		}
		if f.problem == &problemOverloaded {
			f.retryAfter = time.Second
		}
	}
	switch {
	case record.unsure:
		f.outcome = Unknown
	case record.Replay != "" && f.outcome == NotSent || record.rejected:
		// The first attempt was refused for its token, the second never left.
		f.outcome = Rejected
	}
	return f
}

func upstreamProblem(err *upstream.Error) *problem {
	switch {
	case err.Op == upstream.OpConnLimit:
		return &problemOverloaded
	case err.Op == upstream.OpBody:
		return &problemBodyRead
	case err.Timeout && err.Outcome != upstream.NotSent:
		return &problemUpstreamTimeout
	case err.Outcome != upstream.NotSent:
		return &problemUpstreamBroken
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &problemUpstreamCertificate
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns != nil {
		return &problemUpstreamName
	}
	return &problemUpstreamUnreachable
}

// answerBody is Monite's envelope.
type answerBody struct {
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
		Hint    string `json:"hint"`
	} `json:"error"`
	RequestID string `json:"request_id"`
}

// endsConnection: what follows a request that is refused for what it says is not
// to be trusted: app and proxy may differ on where it ends, or, after an Upgrade,
// on the language. A good request at a bad time (overload, no token, upstream's
// outage) keeps its connection: to close them all then would only add load.
func endsConnection(p *problem) bool {
	switch p {
	case &problemUpgrade, &problemInternal, &problemDraining:
		return true
	}
	return p.status < 500
}

// writeProblem answers. It is the only place that does so in the proxy's own
// name.
func writeProblem(w http.ResponseWriter, in *http.Request, f *failed, record *Record) {
	record.Status, record.Origin, record.ErrorType = f.status, OriginProxy, f.kind
	record.Outcome, record.Err = f.outcome, f.cause
	if errors.Is(f.cause, context.Canceled) && in.Context().Err() != nil {
		record.Status, record.ErrorType, record.Err = statusClientGone, "", errClientGone
		// To return would be to answer 200: net/http says so for a handler that
		// says nothing, and an app that only closed its sending side would read it.
		panic(http.ErrAbortHandler)
	}

	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(progressTimeout))
	if in.ContentLength != 0 {
		// net/http goes on to read what it has of the body, to the end of time if
		// the app is silent.
		_ = control.SetReadDeadline(time.Now().Add(lingerTimeout))
	}
	var body answerBody
	body.Error.Type, body.Error.Message, body.Error.Hint = f.kind, f.message, f.hint
	if f.outcome == Unknown {
		body.Error.Hint += " " + hintUnknown
	}
	body.RequestID = record.RequestID
	text, _ := json.Marshal(body)

	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Proxy-Status", "monite-proxy; error="+f.proxyStatus)
	header.Set("X-Monite-Proxy-Outcome", string(f.outcome))
	if f.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int((f.retryAfter+time.Second-1)/time.Second)))
	}
	if f.status == http.StatusMethodNotAllowed {
		header.Set("Allow", allowedMethods)
		if f.problem == &problemVendMethod {
			header.Set("Allow", http.MethodPost)
		}
	}
	if endsConnection(f.problem) {
		header.Set("Connection", "close")
	}
	setTiming(header, record)
	setExplanation(header, record)
	w.WriteHeader(f.status)
	if in.Method != http.MethodHead {
		n, _ := w.Write(text)
		record.ResponseBytes = int64(n)
	}
}
