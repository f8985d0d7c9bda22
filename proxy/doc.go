// Package proxy turns one app request into one authenticated upstream request,
// and upstream's response into the app's.
//
// A request is a call (call.go; reuse.go: which one a later request may use again),
// and each step a method of it. The order of the steps is that of Handler.ServeHTTP
// and forward (handler.go):
//
//	begin     server.go       the server on the data listener: strict/, or net/http's
//	                          (std.go: which then knows what an app has taken)
//	          accesslog.go    request id, span, and at the end one line; panics
//	locate    handler.go      the policy, the path prefix of an identity, the route
//	guard     guard.go        what may come in at all (target/), before anything is
//	                          minted or sent; browser.go: no web page; an offer to
//	                          upgrade is ignored
//	route     handler.go      chi: /v1/ to forward, what is served here, a refusal
//	identify  handler.go      whose token and which entity (identity/)
//	openBody  body.go         kept for a replay if small, else streamed; and whether
//	                          the app's body is to blame for a failure (readon.go:
//	                          the rest of one that is not wanted)
//	passOnce  claim.go        a write only: has it been sent before (writes/)? And in
//	                          the end: what became of it (copied.go: the response, in
//	                          case it is needed again)
//	place     inflight.go     one of MONITE_MAX_IN_FLIGHT, from the first byte that
//	                          leaves
//	rewrite   rewrite.go      the Out request: delete first, then set; coding.go:
//	                          what we can unpack
//	send      credential.go   token, attempt, at most one replay after a refusal
//	                          (rejected.go: of the token, in upstream's words, see
//	                          tokenwords.go; peek.go reads those)
//	attempt   retry.go        at most one more try where nothing can happen twice;
//	                          trip is the one call that sends, once ratelimit.go says
//	                          that Monite's limit allows it
//	          upstream/       the connection: sent once, and the outcome known; dial/
//	                          makes it; its bytes, and those of strict/, pass
//	                          through socket/
//	respond   response.go     upstream's response, streamed, with fields as upstream
//	                          spells them (spelling.go); link.go: links lead here
//	follow    follow.go       a write whose app no longer waits is read to its end
//	refuse    errors.go       the only map from an error or a refusal to a response
//	                          (problems.go has their texts, advice.go hints that
//	                          tell of the request)
//	end       accesslog.go    the Record (record.go) goes to log, metrics, trace
//
// The two lines of the log are written from the table that documents them
// (logfields.go); audit.go has the fields that only a write's line has. span.go tells
// a trace, if there is one, of the request, of waits for a token and of each attempt.
// explain.go says in the response where the time went, and on request how the request
// was sent.
//
// A request for a token gets a handle here, if the operator wants that
// (tokenrequest.go; tokenbody.go reads what is asked). vend.go is another listener's
// handler, off by default: it hands out the token itself (vendtoken.go; its own
// problems are in vendproblems.go), and forwards nothing.
package proxy
