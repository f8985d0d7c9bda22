// Package targettest holds the rows and the oracle by which package target is
// tested, for the tests of those that use it: a request over a socket must end as
// the rule says.
//
//	rows.go       targets, paths and values of Host, good and bad
//	normalise.go  what upstreams are known to do to a path
package targettest
