package socket

import "net"

// PeerUID returns the user whose process is at the other end of a unix socket,
// as the kernel saw it connect. known is false for other connections, and where
// the system does not tell (KnowsPeers).
func PeerUID(conn net.Conn) (uid uint32, known bool) {
	socket, ok := Bare(conn).(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false
	}
	return peerOf(raw)
}
