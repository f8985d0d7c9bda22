//go:build !linux || (!amd64 && !arm64) || race

package socket

import (
	"io"
	"net"
)

// Of returns where the bytes of nc are read and written: nc.
func Of(nc net.Conn) io.ReadWriter { return nc }

type stream struct{ io.Reader } // of no connection here

func (*stream) readLate() ([]byte, int, error) { return nil, 0, io.ErrNoProgress }
