// Package mutants shows that the tests of published flaws can fail: each of its
// mutants breaks one line of the proxy, or of the Go standard library under it,
// the way the flaw did, and names the tests that must then fail.
//
//   - table_test.go: the mutants; writes_test.go: those that send a write twice
//   - mutants_test.go: that the table fits the tree, in every run; and the run
//     itself (make mutants), which changes no file: go test -overlay
//   - ledger_test.go: that the ledger of e2e sees a transport that repeats
//     requests (make ledger-mutant)
//
// Folder mutation has a program of its own, which knows no flaws: it changes one
// operator at a time (make mutation).
package mutants
