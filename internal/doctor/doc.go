// Package doctor examines, step by step, what has to work for an app's request to
// get its response from Monite, and says in words that can be pasted anywhere what
// is wrong, why, and what to do. It sends mints and harmless reads only.
//
//   - doctor.go: Examine, and the order of the steps; after a problem on the way to
//     upstream the later steps are skipped
//   - proxies.go: the variables for forward proxies, as advice
//   - network.go, nameservers.go, tls.go, api.go: the steps to upstream: DNS and its
//     servers one by one (query.go: one DNS query), TCP, TLS, the API itself, and the
//     clock by the Date of its response
//   - tokens.go: the credentials, the environment, the API version and each entity;
//     grants.go: each entity user with the entity that it is sent with, and the call
//     of an app that names nobody; read.go: the reads that try a token
//   - shared.go: the shared store, if there is one, and the collector of traces
//   - writes.go: what keeps a write from being executed twice, and which ones are open
//   - local.go: the running sidecar on this host, called as an app would call it;
//     listener.go: why it does not respond; places.go: where none runs, whether one
//     could start
//   - report.go: findings, and the report for people; Misconfigured is the report
//     where there is nothing to examine yet
//
// The command hands in what it would run with: a transport, the configuration and
// the TLS of the data listener.
package doctor
