// Package e2e starts the built binary and looks at it from outside, as an app,
// an operator and an attacker would. It imports nothing of the proxy but its
// simulator; upstream is that, or a script of the test's own.
//
// harness_test.go starts and asks it, and has the scripted upstream. Files without a
// prefix test what a sidecar does; the others are blocks:
//
//   - faults_*: the fault matrix, a sidecar that is healthy again after each of
//     them. matrix is the table and the cell, origin the upstream that fails
//   - fleet_*: replicas that share a store
//   - ledger_*: no write is executed twice, by readers that trust no library
//   - load_*: what holds while many requests are under way
//   - place_*: where it runs: in a pod, under systemd, on sockets
//   - reach_*: which callers reach it, and what it may reach
//   - see_*: what an operator sees of it
package e2e
