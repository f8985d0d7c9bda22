package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// KnowsPeers reports whether the system names the user of a peer: by SO_PEERCRED.
const KnowsPeers = true

func peerOf(raw syscall.RawConn) (uid uint32, known bool) {
	_ = raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid, known = peer.Uid, true
		}
	})
	return uid, known
}
