package socket

import "net"

// Bare returns the connection of the kernel below nc: below TLS, and what else says
// by NetConn what it wraps.
func Bare(nc net.Conn) net.Conn {
	for {
		wrapper, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = wrapper.NetConn()
	}
}
