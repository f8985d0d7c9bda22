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

	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/proxy/writes"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// problem is one kind of response that the proxy makes. Its texts are fixed: they
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
	// advice is the hint where one is known that fits this request better.
	advice string
	// retryAfter is rounded up to seconds. 0: no Retry-After.
	retryAfter time.Duration
	// earlier is the write that this one repeats; nil: it is none.
	earlier *writes.Record
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

// notSent is the failure of a request that was not sent.
func notSent(p *problem) *failed { return &failed{problem: p, outcome: NotSent} }

// final reports whether the same request would get the same response again, or must
// not be sent again.
func (f *failed) final() bool {
	switch f.problem {
	case &problemRepeatInProgress, &problemKeyInProgress:
		return false
	case &problemKeyReused:
		return true
	}
	return f.outcome == Unknown
}

// statusClientGone is the status in the log if the app went away. It is nginx's
// number; no app ever sees it.
const statusClientGone = 499

// lingerTimeout limits the reading of a body that is not wanted. To close at once
// would be to reset the connection, and the app might lose the response.
const lingerTimeout = 500 * time.Millisecond

// errClientGone means that the app is gone and cannot get a response.
var errClientGone = errors.New("the app went away")

// identityProblems maps a refusal of package identity to a problem.
var identityProblems = [...]*problem{
	identity.Unknown:      &problemUnknownIdentity,
	identity.Duplicate:    &problemDuplicateIdentity,
	identity.Malformed:    &problemInvalidIdentity,
	identity.Entity:       &problemEntity,
	identity.User:         &problemEntityUser,
	identity.Handle:       &problemHandle,
	identity.ReadOnly:     &problemIdentityReadOnly,
	identity.Rule:         &problemRule,
	identity.Grant:        &problemGrant,
	identity.TokenRequest: &problemTokenRequest,
}

// refusalProblem returns nil for identity.None.
func refusalProblem(refusal identity.Refusal) *problem { return identityProblems[refusal] }

// classify turns an error of any step into a problem: the errors of the token
// cache, of the upstream connections and of the app's body. (retry.go asks an error
// of a connection only whether the request may be sent again.)
func (c *call) classify(err error) *failed {
	if f, ok := errors.AsType[*failed](err); ok {
		return f
	}
	f := &failed{problem: &problemInternal, outcome: NotSent, cause: err}
	if c.record.Sent {
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
	case c.unsure:
		f.outcome = Unknown
	case c.record.Replay != "" && f.outcome == NotSent || c.rejected:
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

// problemBody is Monite's envelope.
type problemBody struct {
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
		Hint    string `json:"hint"`
		// Earlier is the write that the request repeats.
		Earlier *earlierWrite `json:"earlier,omitempty"`
	} `json:"error"`
	RequestID string `json:"request_id"`
}

// earlierWrite tells an app, and its people, of a write that was sent before.
type earlierWrite struct {
	RequestID string    `json:"request_id"`
	At        time.Time `json:"at"`
	Status    int       `json:"status,omitempty"` // upstream's
}

// endsConnection reports whether the connection ends with this problem. After a
// request refused for its content, app and proxy may disagree on where it ended, or,
// after an Upgrade, on the language. A good request at a bad time (overload, no
// token, upstream's outage) keeps its connection: to close them all then would only
// add load.
func endsConnection(p *problem) bool {
	switch p {
	case &problemUpgrade, &problemInternal, &problemDraining:
		return true
	case &problemRepeat, &problemRepeatInProgress, &problemKeyInProgress, &problemKeyReused, &problemResponseGone:
		return false // a good request, at a bad time
	}
	return p.status < 500
}

// fail ends a request with an error of one of its steps.
func (c *call) fail(err error) {
	failure := c.classify(err)
	c.settleFailed(failure, restIn(err))
	c.abortIfGone(failure)
	c.refuse(failure)
}

// failSent ends a request that was sent, or was about to be, and may still be
// coming in.
func (c *call) failSent(err error) {
	err = c.blame(err)
	c.unread(func() { c.fail(err) })
}

// unread responds while the app may still be sending its body.
func (c *call) unread(respond func()) {
	if !c.body.unfinished() {
		respond()
		return
	}
	c.w.Header().Set("Connection", "close")
	respond()
	_ = http.NewResponseController(c.w).Flush() // before the upload is waited for
}

// restIn returns what can be followed of the write that ended with err.
func restIn(err error) *upstream.Rest {
	if broken, ok := errors.AsType[*upstream.Error](err); ok {
		return broken.Rest
	}
	return nil
}

// abortIfGone panics with http.ErrAbortHandler if the app has gone away. To return
// would be to respond with 200: net/http says so for a handler that says nothing, and
// an app that only closed its sending side would read it.
func (c *call) abortIfGone(f *failed) {
	if !errors.Is(f.cause, context.Canceled) || c.Err() == nil {
		return
	}
	c.record.Status, c.record.Origin, c.record.Outcome = statusClientGone, OriginProxy, f.outcome
	c.record.Err = errClientGone
	panic(http.ErrAbortHandler)
}

// refuse responds with a problem. It is the only place that responds in the proxy's
// own name, but for what the token requests ask for.
func (c *call) refuse(f *failed) {
	w, in, record := c.w, c.in, &c.record
	record.Status, record.Origin, record.ErrorType = f.status, OriginProxy, f.kind
	record.Outcome, record.Err = f.outcome, f.cause

	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(progressTimeout))
	if in.ContentLength != 0 {
		// net/http goes on to read what it has of the body, to the end of time if
		// the app is silent.
		_ = control.SetReadDeadline(time.Now().Add(lingerTimeout))
	}
	var body problemBody
	body.Error.Type, body.Error.Message, body.Error.Hint = f.kind, f.message, f.hint
	if f.advice != "" && !saysExpired(f.advice) {
		body.Error.Hint = f.advice
	}
	if f.outcome == Unknown && f.earlier == nil { // of an earlier write, its hint says what to do
		body.Error.Hint += " " + hintUnknown
	}
	if !saysExpired(record.RequestID) {
		body.RequestID = record.RequestID
	}
	if earlier := f.earlier; earlier != nil && !saysExpired(earlier.RequestID) {
		body.Error.Earlier = &earlierWrite{earlier.RequestID, earlier.Begun.UTC().Truncate(time.Millisecond), earlier.Status}
	}
	text, _ := json.Marshal(body)

	header := w.Header()
	ownJSON(header, len(text))
	guardFromPages(header)
	header.Set("Proxy-Status", "monite-proxy; error="+f.proxyStatus)
	header.Set(headerOutcome, string(f.outcome))
	if f.final() && isWrite(in.Method) {
		header.Set(headerRetry, "false")
	}
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
	c.setTiming(time.Now())
	c.setExplanation()
	c.sayKeepAlive()
	w.WriteHeader(f.status)
	if in.Method != http.MethodHead {
		n, _ := w.Write(text)
		record.ResponseBytes = int64(n)
	}
	// Nobody has read this body. Of one that streams, abandon reads the rest.
	if in.ContentLength != 0 && c.body.kept == nil && c.body.stream == nil && byStdServer(in) {
		_ = control.Flush()
		readOn(in.Body, control)
	}
}
