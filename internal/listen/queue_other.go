//go:build !linux

package listen

import "net"

func beginNoMore(net.Listener) (handshakes bool) { return false }

// emptyQueue returns nothing: here close resets the queued connections.
func emptyQueue(net.Listener) []net.Conn { return nil }

// takeQueue returns nothing: what is queued is the next Serve's.
func takeQueue(net.Listener) []net.Conn { return nil }
