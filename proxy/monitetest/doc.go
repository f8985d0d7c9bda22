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
// ServeHTTP (simulator.go) records the request (call.go, ring.go, ledger.go), lets a
// fault strike before execution (fault.go, effect.go, effects.go), and then refuses
// in Monite's order: version header, route (route.go, nearby.go), rate limit
// (ratelimit.go), token, entity and path (auth.go), token kind and role
// (permissions.go). Then the request is executed (mint.go and tokens.go for tokens,
// the package resources for everything else), and the response is written
// (answer.go). A fault after execution may still spoil the response. A fault before
// execution reads no body; otherwise a response is sent when the body has been read
// to its end.
//
// Requests and responses follow Monite's published document, whose facts are in the
// package schema; the package conformance proves it. Where Monite's public material
// does not say how the API responds, the simulator guesses: 401 for wrong
// credentials, 400 for an unknown entity user at the token endpoint, 422 for a
// missing entity header, 403 for another entity than the user's own, and 404, 400 or
// 422 for an id in a body that leads nowhere, the first of them that the operation
// publishes.
//
// # Time
//
// The simulator has a clock of its own (clock.go), which tests can move:
// tokens end, recognitions finish, invoices fall due and reminders go out
// without waiting. Config (config.go) may bring another clock, a seed and data
// of one's own instead of the demo data (demo.go).
//
// # Control from other processes
//
// The same over HTTP (control.go), without a token, and neither counted nor
// recorded:
//
//	GET    /_sim/                     a page for people (page.go, page.html)
//	GET    /_sim/healthz              {"status":"ok"}
//	GET    /_sim/stats                Stats
//	GET    /_sim/requests             {"data":[Request...]}, oldest first
//	GET    /_sim/ledger               {"data":[Write...]}: what was executed how often
//	GET    /_sim/state                all documents, as Config.Data has them
//	GET    /_sim/faults               {"data":[Fault...]}: what is left
//	POST   /_sim/faults               a Fault or an array of them
//	DELETE /_sim/faults
//	GET    /_sim/clock                {"now":"..."}
//	POST   /_sim/clock                {"advance":"720h"} or {"now":"2027-01-31T00:00:00Z"}
//	POST   /_sim/mail                 a bill comes to a mailbox: {"to":"...","from":"...","bill":{...}}
//	GET    /_sim/snapshots            {"data":["name"...]}
//	POST   /_sim/snapshots            {"name":"start"} keeps the state
//	POST   /_sim/snapshots/start/restore
//	POST   /_sim/revoke_all           every token is unknown from now on
//	POST   /_sim/expire_all           every token has expired
//	POST   /_sim/token_endpoint/down  503 from the token endpoint
//	POST   /_sim/token_endpoint/up
//	POST   /_sim/reset_stats          counts to zero, recorded requests forgotten
//	POST   /_sim/reset                also the first data and the real time again, and no faults
//
// A fault in JSON has the fields of Fault in lower case:
//
//	{"path":"token","times":3,"status":503,"headers":{"Retry-After":"2"}}
//	{"method":"POST","path":"/v1/payables","after":true,"effect":"rst","times":1}
//	{"route":"POST /v1/payables/{payable_id}/mark_as_paid","after":true,"status":502,"share":0.1}
//	{"path":"/v1/receivables","delay":"1.5s"}
//	{"effect":"expired","status":400,"times":1}
//	{"effect":"webhook_repeat","event":"payable.paid"}
//	{"path":"token","effect":"token_expires_in","value":"\"3600\""}
//
// # The ledger of writes
//
// A test that must prove "at most once" sends each write with a value of its
// own in X-Sim-Nonce, or in the query parameter sim_nonce, and then reads
// Stats.Executed: how often the state really changed for it. A request that
// was refused, or struck by a fault before execution, does not count. Ledger
// (writes.go) also knows writes without a nonce, by target and body.
package monitetest
