// Package house holds the tests of the repository as a whole: which package may
// import which, where a secret may be revealed, and whether README, docs and SECURITY
// are true.
package house
