//go:build !linux

package socket

import "net"

// KnowsGone reports whether Gone can be believed.
const KnowsGone = false

// Gone is not known here: what a read of the connection says must do.
func Gone(net.Conn) bool { return false }

// Broke is not known here either.
func Broke(net.Conn, error) bool { return false }

// HungUp likewise.
func HungUp(net.Conn) bool { return false }
