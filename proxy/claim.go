package proxy

import (
	"net/http"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/socket"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

const (
	headerKey    = "Idempotency-Key"
	headerRepeat = "X-Monite-Proxy-Repeat"
	// headerRetry is the field by which Stainless' clients are told not to repeat.
	headerRetry = "X-Should-Retry"
	// headerReplayed marks a response that was given before, as Stripe does.
	headerReplayed = "Idempotent-Replayed"
	headerOutcome  = "X-Monite-Proxy-Outcome"
)

// remembers reports whether the journal is asked about this request.
func (c *call) remembers() bool { return c.handler.config.Journal != nil && isWrite(c.in.Method) }

// passOnce is pass for a write: at most once for each time that the app means it.
func (c *call) passOnce() {
	w, problem := c.aboutWrite()
	if problem != nil {
		c.refuse(notSent(problem))
		return
	}
	if !c.handler.config.Journal.Remembers(w.Key != "") {
		c.pass()
		return
	}
	// The first bytes of a long body are read before any byte leaves: they tell one
	// write from another.
	var err error
	if w.Length, w.Head, err = c.body.look(writes.HeadBytes); err != nil {
		c.fail(bodyProblem(err, NotSent))
		return
	}
	if conn := c.conn(); conn != nil {
		w.HungUp = func() bool { return socket.HungUp(conn) }
	}
	d := c.handler.config.Journal.Begin(c, &w)
	if d.Verdict == writes.Left && c.Err() == nil {
		d.Verdict = writes.Refuse // it has only ended its side, and may still read
	}
	c.note(&w, &d)
	c.claim = d.Claim
	defer c.settle()
	switch d.Verdict {
	case writes.Send:
		c.pass()
	case writes.Replay:
		kept := d.Earlier.Response
		c.unread(func() { c.respondAgain(kept) })
	case writes.Left:
		c.fail(c.Err())
	default:
		refusal := refusedRepeat(d.Verdict, d.Earlier)
		c.unread(func() { c.refuse(refusal) })
	}
}

// aboutWrite reads what the app says of its write.
func (c *call) aboutWrite() (w writes.Write, _ *problem) {
	header := c.in.Header
	_, query, hasQuery := strings.Cut(c.in.RequestURI, "?")
	w = writes.Write{
		Request: writes.Request{
			GrantType: string(c.identity.Grant.Type), EntityUserID: c.identity.Grant.EntityUserID, EntityID: c.identity.EntityID,
			Method: c.in.Method, Target: c.path, ContentType: header.Get("Content-Type"),
		},
		RequestID: c.record.RequestID, Route: c.record.Route,
	}
	if hasQuery {
		w.Target += "?" + query
	}
	if keys := header[headerKey]; len(keys) > 0 && c.handler.config.Journal.Remembers(true) {
		key, ok := writes.ParseKey(keys[0])
		if len(keys) > 1 || !ok {
			return w, &problemKey
		}
		w.Key = key
	}
	if ids := header[headerRepeat]; len(ids) > 0 {
		if len(ids) > 1 || !isID(ids[0]) {
			return w, &problemRepeatID
		}
		w.RepeatOf = ids[0]
	}
	return w, nil
}

// results maps what became of a write to its word in the log.
var results = map[writes.Verdict]string{
	writes.Send: "sent", writes.Replay: "replayed", writes.Refuse: "refused", writes.InProgress: "in_progress", writes.Reused: "reused",
	writes.Gone: "gone", writes.Unavailable: "unavailable",
}

// note keeps the decision for the log.
func (c *call) note(w *writes.Write, d *writes.Decision) {
	record := &c.record
	record.Waited = d.Waited
	if d.Overridden || d.Verdict != writes.Send && d.Verdict != writes.Left {
		record.RepeatOf = d.Earlier.RequestID
	}
	if d.Verdict == writes.Left {
		return
	}
	result := results[d.Verdict]
	if d.Verdict == writes.Send && d.Overridden {
		result = "overridden"
	}
	record.Keyed, record.Repeat = w.Key != "", result
}

// refusedRepeat makes the refusal of a write that must not be sent.
func refusedRepeat(verdict writes.Verdict, earlier writes.Record) *failed {
	f := &failed{outcome: Unknown, earlier: &earlier}
	switch verdict {
	case writes.InProgress:
		f.retryAfter = time.Second
		f.problem = &problemRepeatInProgress
		if earlier.Keyed {
			f.problem = &problemKeyInProgress
		}
	case writes.Reused:
		f.problem, f.outcome = &problemKeyReused, NotSent
	case writes.Gone:
		f.problem = &problemResponseGone
	case writes.Unavailable:
		f.problem, f.outcome, f.retryAfter, f.earlier = &problemKeyUnavailable, NotSent, time.Second, nil
	default:
		f.problem = &problemRepeat
	}
	return f
}

// settle ends a claim that nothing else has ended: after a panic, that is.
func (c *call) settle() {
	claim := c.claim
	if claim == nil {
		return
	}
	c.claim = nil
	if !c.record.Sent {
		claim.Release()
		return
	}
	claim.Unknown(0)
	claim.Delivered(false)
}

// settleFailed ends the claim of a write that got no response, before the app gets
// its error. If the write was sent whole, it is followed to its end instead.
func (c *call) settleFailed(f *failed, rest *upstream.Rest) {
	claim := c.claim
	c.claim = nil
	switch {
	case claim == nil:
		if rest != nil {
			rest.Drop()
		}
	case rest != nil && c.follow(claim, restOf(rest), f):
	case f.outcome != Unknown, c.body.cut():
		// Upstream has not seen a whole request, or has refused its token.
		claim.Release()
	default:
		claim.Unknown(0)
	}
}

// statusVerdict says what upstream's status means for a write.
type statusVerdict int

const (
	executed    statusVerdict = iota // or refused by the one that knows: the status is the outcome
	notExecuted                      // certainly
	doubtful
)

// verdictOn judges a status. What a gateway says (502, 504, 520 to 530) tells nothing of
// what is behind it, and a server that fails (500, 507) may have done half of it. So a
// 5xx is in doubt unless it says that the request was not acted on.
func verdictOn(status int) statusVerdict {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusTooManyRequests, status == http.StatusNotImplemented, status == http.StatusServiceUnavailable,
		status == http.StatusHTTPVersionNotSupported:
		return notExecuted
	case status >= http.StatusInternalServerError:
		return doubtful
	}
	return executed
}

// settleHead takes the head of upstream's response to a write, before the app can see
// it. It returns the body to read from then on.
func (c *call) settleHead(response *http.Response) {
	verdict := verdictOn(response.StatusCode)
	if c.tokenRefused {
		verdict = notExecuted
	}
	if verdict == doubtful {
		c.record.Outcome = Unknown
		header := c.w.Header()
		header.Set(headerOutcome, string(Unknown))
		if c.claim != nil {
			header.Set(headerRetry, "false")
		}
	}
	if c.claim == nil {
		return
	}
	switch verdict {
	case notExecuted:
		c.claim.Release()
	case doubtful:
		c.claim.Unknown(response.StatusCode)
	default:
		c.copied = newCopied(response, c.handler.config.Journal.MaxResponse())
		return
	}
	c.claim = nil
}

// settleBody ends the claim when upstream's response has been read, or the app could
// not be written to (writeErr, nil if all is well). It reports whether another
// goroutine reads the rest of the body.
func (c *call) settleBody(response *http.Response, failed bool) (followed bool) {
	claim, copied := c.claim, c.copied
	if claim == nil {
		return false
	}
	c.claim = nil
	if copied != nil { // else it is a replay
		switch {
		case copied.whole():
			claim.Answered(response.StatusCode, copied.response())
		case copied.err != nil: // upstream's end broke
			claim.Unknown(response.StatusCode)
			return false
		default:
			c.record.DeliveryKnown = true
			return c.follow(claim, bodyOf(response, copied), nil)
		}
	}
	c.deliver(claim, failed)
	return false
}

// deliver says whether the app has the response, as far as is known now, and has
// the rest said when more is known.
func (c *call) deliver(claim *writes.Claim, failed bool) {
	conn := c.conn()
	taken := func() bool { return conn == nil || !socket.Gone(conn) }
	if failed || !taken() {
		c.record.DeliveryKnown = true
		claim.Delivered(false)
		return
	}
	c.record.DeliveryKnown, c.record.Delivered = true, true
	server, tells := c.w.(tellsTaken)
	if !tells {
		server, tells = conn.(tellsTaken)
	}
	switch ends := c.in.Close || c.in.ProtoMinor == 0 || c.w.Header().Get("Connection") == "close"; {
	case !ends:
		claim.Written(taken)
	case !tells:
		claim.Delivered(true)
	default:
		// The server waits for the app's end of the connection, for a moment, and then
		// tells; until then a repeat waits. Once both ends are closed the kernel does not
		// say how.
	}
	if tells { // last: from here on another goroutine may use the claim
		server.OnTaken(claim.Delivered)
	}
}

// tellsTaken is the response of strict, or the connection of StdServer.
type tellsTaken interface{ OnTaken(taken func(bool)) }

// noteRead lets the journal know that the app has read a resource: it may be the
// one of a write of unknown outcome.
func (c *call) noteRead() {
	journal := c.handler.config.Journal
	if journal == nil || c.in.Method != http.MethodGet || c.record.Status/100 != 2 || !journal.Watching() {
		return
	}
	journal.Read(&writes.Request{
		GrantType: string(c.identity.Grant.Type), EntityUserID: c.identity.Grant.EntityUserID, EntityID: c.identity.EntityID, Target: c.path,
	}, c.record.Start)
}
