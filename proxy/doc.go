// Package proxy turns one app request into one authenticated upstream request,
// and its answer into the app's answer.
//
// The walk of a request; a file is a step, and the order here is the order
// there:
//
//	 0  server.go     the server on the data listener: strict/, or net/http's
//	 1  accesslog.go  request id, one log line at the end, panics (call.go: the
//	                  request's context from here on)
//	    audit.go      one more line for a write: who did what
//	 2  guard.go      what may come in at all (host.go, path.go); refuses with
//	                  the problems of errors.go, before anything is minted or sent
//	 3  handler.go    chi: what else is served, and all the rest to forward
//	 4  identity.go   whose token and which entity: from configuration and headers
//	    policy.go     what the operator allows, named identities and their rules
//	    tokenhandle.go what stands for an identity in the place of a token; made
//	                  in tokenrequest.go, if the operator wants that (tokenbody.go
//	                  reads what is asked)
//	    upgrade.go    an offer to change the protocol is ignored
//	 5  body.go       kept for a replay if small, else streamed (readon.go: what
//	                  nobody wants any more)
//	 6  rewrite.go    the Out request: delete first, then set
//	 7  credential.go the credential step: token, send, at most one replay
//	    retry.go      at most one more try where nothing can happen twice
//	 8  upstream/     the connection: sent once, and the outcome known; dial/ makes
//	                  it; its bytes, and those of strict/, pass through socket/
//	 9  response.go   the answer, streamed, with fields as upstream spells them
//	                  (spelling.go)
//	10  errors.go     the only map from an error to an answer
//
// vend.go is another listener's handler, off by default: it hands out the token
// itself, and forwards nothing.
//
// span.go tells a trace, if there is one, of the request, of waits for a token and
// of each attempt.
//
// explain.go says in the answer where the time went, and on request which way
// the request took. record.go holds what is known of a request so far; route.go names it by
// Monite's published path template, the only name that logs and metrics use.
package proxy
