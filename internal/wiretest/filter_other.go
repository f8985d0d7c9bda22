//go:build !linux

package wiretest

import "net"

// Filter is not implemented here.
type Filter []struct{}

// DropAll and the others do nothing.
var DropAll, DropThirty, DropLarge = Filter{}, Filter{}, Filter{}

// FilterSocket reports that there is no such thing here.
func FilterSocket(any, Filter) bool { return false }

// ListenPlain is net.Listen.
func ListenPlain(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
