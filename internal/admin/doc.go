// Package admin serves the second listener: health for the kubelet, metrics for
// Prometheus, status for people, and the few actions that an operator may take.
//
//   - admin.go: the routes, and the callers that they admit
//   - health.go: /livez, /readyz, /startupz. Readiness is local: it never asks
//     upstream, and liveness asks nothing outside the process
//   - metrics.go: a registry of its own, fed by one Record per request and one
//     Mint per mint; sources.go: what is asked at each scrape, registered in one
//     call; series.go finds the series of a request in one map access;
//     shared.go holds those of the shared store
//   - explain.go: why there is no token, in one sentence
//   - history.go: the last requests and mints, and the figures of the last five
//     minutes, fed by the same Records and Mints; trouble.go: whether upstream has
//     served anything lately
//   - status.go: /status and /version; named.go, credentials.go and writes.go: their
//     parts that tell of the identities file, of the client id and secret, and of
//     writes of unknown outcome
//   - page.go: the same for people on /, live by server-sent events; its template,
//     style and script are in page/
package admin
