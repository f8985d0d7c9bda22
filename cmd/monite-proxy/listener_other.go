//go:build !linux

package main

import "net"

func beginNoMore(net.Listener) (handshakes bool) { return false }

// emptyQueue: here close resets what is queued.
func emptyQueue(net.Listener) []net.Conn { return nil }
