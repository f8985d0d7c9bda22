package socket

import (
	"io"
	"net"
	"testing"
)

// The peer closes, in order or with bytes unread; to be asked changes nothing.
func TestPeerThatClosesWithBytesUnreadIsGone(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, tt := range map[string]struct {
			act  func(net.Conn)
			want bool
		}{
			"it stays":                 {func(net.Conn) {}, false},
			"it reads and closes":      {func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 4)); _ = c.Close() }, false},
			"it reads some and closes": {func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 2)); _ = c.Close() }, true},
		} {
			near, far := pair(t, network)
			_, _ = near.Write([]byte("done"))
			tt.act(far)
			for range 2 {
				if got := Gone(near); got != tt.want {
					t.Errorf("%s, %s: gone is %v", network, name, got)
				}
			}
			if !tt.want {
				continue
			}
			if _, err := near.Read(make([]byte, 1)); err == nil || err == io.EOF { //nolint:errorlint // a bare end
				t.Errorf("%s, %s: the reset is lost: %v", network, name, err)
			}
		}
	}
}

func TestPeerThatEndsItsSideHasHungUp(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, tt := range map[string]struct {
			act  func(net.Conn)
			want bool
		}{
			"it stays":          {func(net.Conn) {}, false},
			"it sends":          {func(c net.Conn) { _, _ = c.Write([]byte("more")) }, false},
			"it ends its side":  {func(c net.Conn) { _ = c.(interface{ CloseWrite() error }).CloseWrite() }, true},
			"it sends and goes": {func(c net.Conn) { _, _ = c.Write([]byte("more")); _ = c.Close() }, true},
		} {
			near, far := pair(t, network)
			tt.act(far)
			for range 2 {
				if got := HungUp(near); got != tt.want {
					t.Errorf("%s, %s: hung up is %v", network, name, got)
				}
			}
		}
	}
}
