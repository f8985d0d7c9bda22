//go:build linux

// Command bench measures the sidecar beside its peers: nginx, haproxy, caddy if
// it is installed, and the usual proxy made with Go's standard library. All of
// them add the same two fields and forward to the same TLS upstream, which
// responds with 401 unless both are exact, so that every 200 proves the injection.
//
//	main.go        flags, and how much is measured, on Linux
//	upstream.go    the upstream: nginx, and its certificate
//	contenders.go  how each contender is configured and started
//	stock.go       the contender made of the standard library
//	load.go        the open-loop client; wrk is the closed-loop one
//	rounds.go      what is measured, in interleaved rounds; samples.go what that gave
//	proc.go        CPU, memory and foreign load from /proc
//	report.go      the table; plot.go the picture
//
// make bench-peers runs it. BENCH=short proves only that it runs.
package main
