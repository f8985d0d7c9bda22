// Package dial makes a TCP connection to a name, in a world in which name servers
// are dead, slow or wrong, and some of the addresses do not work.
//
//	dial.go         the Dialer: what others use
//	lookup.go       a name is looked up for each connection, in a time of its own;
//	                while that hangs or fails, the last good addresses serve
//	race.go         the addresses are tried one after the other, overlapping
//	nameservers.go  the system's name servers, and errors that name their cause
package dial
