//go:build !linux

package listen

import "net"

func beginNoMore(net.Listener) (handshakes bool) { return false }

// emptyQueue returns nothing: here close resets the queued connections.
func emptyQueue(net.Listener) []net.Conn { return nil }
