// Package monitetest is a simulated Monite API, as net/http/httptest is to
// net/http. It behaves, and on request misbehaves:
//
//	sim := monitetest.New(monitetest.Config{})
//	server := httptest.NewServer(sim)
//	defer server.Close()
//	sim.Inject(monitetest.Fault{Path: "token", Times: 2, Status: 503})
//
// It shares no code with the proxy: a simulator that did would prove nothing.
// Nothing leaves the process, and what is created is gone with it.
//
// # The walk of a request
//
// ServeHTTP records the request (ring.go, ledger.go), lets a fault strike
// before execution (fault.go, effects.go), and then refuses in Monite's order:
// version header (simulator.go), route (route.go), rate limit (ratelimit.go),
// token, entity and path (auth.go), token kind and role (permissions.go). What
// is left is executed: mint.go for tokens; entities.go, payables.go,
// receivables.go, files.go and stream.go where Monite has rules; generic.go
// for the rest of the 386 published operations. A fault after execution may
// still spoil the answer. A fault before execution reads no body; otherwise an
// answer is sent when the body has been read to its end.
//
// Where Monite's public material does not say what is answered, the simulator
// guesses: 401 for wrong credentials, 400 for an unknown entity user at the
// token endpoint, 422 for a missing entity header, and 403 for another entity
// than the user's own. Bodies of requests are checked for little more than the
// fields that the state needs; sort is ignored.
//
// # Control from other processes
//
// The same over HTTP, without a token, and neither counted nor recorded:
//
//	GET    /_sim/healthz              {"status":"ok"}
//	GET    /_sim/stats                Stats
//	GET    /_sim/requests             {"data":[Request...]}, oldest first
//	GET    /_sim/faults               {"data":[Fault...]}: what is left
//	POST   /_sim/faults               a Fault or an array of them
//	DELETE /_sim/faults
//	POST   /_sim/revoke_all           every token is unknown from now on
//	POST   /_sim/expire_all           every token has expired
//	POST   /_sim/token_endpoint/down  503 from the token endpoint
//	POST   /_sim/token_endpoint/up
//	POST   /_sim/reset_stats          counts to zero, recorded requests forgotten
//	POST   /_sim/reset                also the demo data again and no faults
//
// A fault in JSON has the fields of Fault in lower case:
//
//	{"path":"token","times":3,"status":503,"headers":{"Retry-After":"2"}}
//	{"method":"POST","path":"/v1/payables","after":true,"effect":"rst","times":1}
//	{"path":"/v1/receivables","delay":"1.5s"}
//	{"path":"token","effect":"token_expires_in","value":"\"3600\""}
//
// # The ledger of writes
//
// A test that must prove "at most once" sends each write with a value of its
// own in X-Sim-Nonce, or in the query parameter sim_nonce, and then reads
// Stats.Executed: how often the state really changed for it. A request that
// was refused, or struck by a fault before execution, does not count.
package monitetest
