package socket

import (
	"io"
	"sync"
)

// Buffer is the size of the buffers of ReadLate.
const Buffer = 2 << 10

var buffers = sync.Pool{New: func() any { return new([Buffer]byte) }}

func takeBuffer() []byte { return buffers.Get().(*[Buffer]byte)[:] }

// GiveBack gives a buffer of ReadLate to a later call. Nobody may hold a part of it.
func GiveBack(p []byte) { buffers.Put((*[Buffer]byte)(p)) }

// ReadLate reads once from what Of has returned, into a buffer that is then the
// caller's. A socket on which there is nothing to read waits without one. p may be nil
// where err is not.
func ReadLate(from io.Reader) (p []byte, n int, err error) {
	if s, ok := from.(*stream); ok {
		return s.readLate()
	}
	p = takeBuffer()
	n, err = from.Read(p)
	return p, n, err
}
