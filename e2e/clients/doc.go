// Package clients holds the tests that send real HTTP clients through the built
// binary: programs of other people, as apps use them. Each operation must give the
// app what it gives without the sidecar in between.
//
// programs/ has a small program for each language, which prints the status and the
// hash of the body that it got. origin_test.go is the upstream, clients_test.go the
// table.
package clients
