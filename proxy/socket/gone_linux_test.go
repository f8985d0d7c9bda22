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

// The end of the peer is read before its reset comes.
func TestResetAfterTheEndIsNoticed(t *testing.T) {
	for name, tt := range map[string]struct {
		act  func(near, far net.Conn)
		want bool
	}{
		"it reads and closes": {func(near, far net.Conn) {
			_, _ = near.Write([]byte("done"))
			_ = near.(interface{ CloseWrite() error }).CloseWrite()
			_, _ = io.ReadAll(far)
			_ = far.Close()
			_, _ = near.Read(make([]byte, 1))
		}, false},
		"it closes and is sent more": {func(near, far net.Conn) {
			_ = far.Close()
			_, _ = near.Read(make([]byte, 1))
			_, _ = near.Write([]byte("done"))
			_ = near.(interface{ CloseWrite() error }).CloseWrite()
		}, true},
	} {
		near, far := pair(t, "tcp")
		tt.act(near, far)
		if got := Broke(near, io.EOF); got != tt.want {
			t.Errorf("%s: broke is %v", name, got)
		}
		if Broke(near, io.ErrNoProgress) {
			t.Errorf("%s: it broke, though its end was not read", name)
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
