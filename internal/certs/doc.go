// Package certs holds certificates that live in files and are renewed there: those
// that are shown to apps and to the upstream, and the roots that are trusted.
//
//	pair.go    a certificate and its key: two files that must fit together
//	server.go  Server: what the data listener shows to apps, and which of their
//	           certificates it believes
//	client.go  Client: what is shown to an upstream that asks for a certificate
//	roots.go   Roots: the system's, and those of a file; read once
//	pem.go     what a PEM file may look like, and why there is no certificate in one
//
// The files are read at the handshake and not watched, because a handshake is the
// only moment at which a certificate counts: what it reads is never stale, and no
// goroutine has to run. If they cannot be used, the last good ones stay.
//
// Why something cannot be used is a fixed text without path and content. This
// package does not know which variables name its files; the caller gives each a
// Name for the report.
package certs
