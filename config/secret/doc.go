// Package secret holds values that must never be seen: client ids and
// secrets, access tokens, app tokens.
//
//	string.go  String: made once, from the first byte read (an environment
//	           variable, a file, a token endpoint's response), and passed on as a
//	           String from then on. Whatever prints, marshals or logs it gets
//	           "[redacted]". A test counts the callers of Reveal and Bearer
//	value.go   Check: what is wrong with a value, without showing it
//	bearer.go  what may stand in an Authorization field
//	pairkey.go keys that a client id and its secret make, from which nothing leads
//	           back to them
//	pairs.go   header fields whose values are secret
//	userinfo.go  the user and the password of a URL
//	file.go    File: a secret that lives in a file. It always has a value, the last
//	           good one
//	watch.go   Watcher: reloads files when they change
//	reload.go  all of them before it tells anybody, so that an id and a secret that
//	           were swapped together are seen together
package secret
