package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// KnowsPeers reports whether the system names the user of a peer: by LOCAL_PEERCRED.
const KnowsPeers = true

func peerOf(raw syscall.RawConn) (uid uint32, known bool) {
	_ = raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); err == nil {
			uid, known = peer.Uid, true
		}
	})
	return uid, known
}
