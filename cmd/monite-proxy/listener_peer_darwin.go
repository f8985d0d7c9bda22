package main

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// knowsPeers: LOCAL_PEERCRED.
const knowsPeers = true

// peerUID is the user that connected, as it was then.
func peerUID(conn net.Conn) (uid uint32, known bool) {
	withFD, ok := conn.(syscall.Conn)
	if !ok {
		return 0, false
	}
	raw, err := withFD.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); err == nil {
			uid, known = peer.Uid, true
		}
	})
	return uid, known
}
