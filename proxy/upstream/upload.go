package upstream

import (
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	pieceSize = 32 << 10
	// room before a piece for its size in hex, and after it for CRLF and the
	// last chunk
	chunkHead, chunkTail = 10, 8
	// lastWords is the time for which a response is awaited after upstream has
	// stopped taking the request.
	lastWords = time.Second
	// lastWrite is the time for which the end of a response waits for an upload that
	// is in its last write: upstream can respond before that write has returned.
	lastWrite = 50 * time.Millisecond
)

// upload sends a streamed body on its own goroutine while the caller's waits for the
// response. The exchange that started it waits for it or ends it.
type upload struct {
	c      *conn
	body   io.ReadCloser
	length int64 // -1: chunked
	limits limits

	done      chan struct{}
	op        Op    // with err, valid once done is closed
	err       error // nil: all sent
	reading   atomic.Bool
	writing   atomic.Bool // to the end of the upload, if the write fails or is the last
	aborted   atomic.Bool
	finishing atomic.Bool // in the last write
	closed    atomic.Bool
}

func startUpload(c *conn, req *http.Request, length int64, l limits) *upload {
	u := &upload{c: c, body: req.Body, length: length, limits: l, done: make(chan struct{})}
	c.wire.awaitHead(l.progress)
	go u.run()
	return u
}

func (u *upload) run() {
	defer close(u.done)
	defer u.closeBody()
	buf := buffers.Get().(*[]byte)
	if cap(*buf) < pieceSize+chunkHead+chunkTail {
		*buf = make([]byte, 0, pieceSize+chunkHead+chunkTail)
	}
	defer putBuffer(buf)
	send := u.sendLength
	if u.length < 0 {
		send = u.sendChunks
	}
	op, err := send((*buf)[:cap(*buf)])
	switch {
	case err == nil:
		u.c.wire.sentWhole(u.limits.header)
	case u.aborted.Load():
		u.op, u.err = OpWrite, errStopped
	default:
		u.op, u.err = op, err
		if op == OpWrite {
			// Upstream may have responded before it closed.
			u.c.wire.awaitHead(lastWords)
		} else if !u.c.wire.headSeen() {
			// The caller's body is broken: upstream must see an incomplete
			// request now, not after a time-out.
			_ = u.c.wire.Close()
		}
	}
}

// sendLength holds the last piece back until the body has ended, so that a
// body that is too long never becomes a complete request.
func (u *upload) sendLength(buf []byte) (Op, error) {
	piece := buf[:pieceSize]
	for left := u.length; ; {
		n, err := u.read(piece[:min(pieceSize, left)])
		if err == nil && int64(n) == left {
			var extra int
			if extra, err = u.read(buf[pieceSize : pieceSize+1]); extra > 0 {
				return OpBody, errBodyTooLong
			}
		}
		switch {
		case err == io.EOF && int64(n) < left: //nolint:errorlint // io.Reader returns it bare
			return OpBody, errBodyTooShort
		case err == io.EOF: //nolint:errorlint // io.Reader returns it bare
			return u.write(piece[:n], true)
		case err != nil:
			return OpBody, err
		}
		if op, err := u.write(piece[:n], false); err != nil {
			return op, err
		}
		left -= int64(n)
	}
}

// sendChunks writes each piece as one chunk in one write. The last chunk is
// written only after io.EOF.
func (u *upload) sendChunks(buf []byte) (Op, error) {
	data := buf[chunkHead : chunkHead+pieceSize]
	for {
		n, err := u.read(data)
		last := err == io.EOF //nolint:errorlint // io.Reader returns it bare
		if err != nil && !last {
			return OpBody, err
		}
		start, end := chunkHead, chunkHead
		if n > 0 {
			var hex [chunkHead]byte
			size := append(strconv.AppendInt(hex[:0], int64(n), 16), "\r\n"...)
			start -= copy(buf[chunkHead-len(size):], size)
			end += n
			end += copy(buf[end:], "\r\n")
		}
		if last {
			end += copy(buf[end:], "0\r\n\r\n")
		}
		if op, err := u.write(buf[start:end], last); err != nil || last {
			return op, err
		}
	}
}

// read reads at least one byte, or fails.
func (u *upload) read(p []byte) (int, error) {
	for range 100 {
		u.reading.Store(true)
		// Set reading, then look at aborted; abort does the opposite. So either
		// we stop here, or abort sees that a Read is to be unblocked.
		if u.aborted.Load() {
			u.reading.Store(false)
			return 0, errStopped
		}
		n, err := u.body.Read(p)
		u.reading.Store(false)
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

func (u *upload) write(p []byte, last bool) (Op, error) {
	u.writing.Store(true)
	if last {
		u.finishing.Store(true)
	}
	if _, err := u.c.nc.Write(p); err != nil {
		u.finishing.Store(false)
		return OpWrite, err
	}
	if !last {
		u.writing.Store(false)
		u.c.wire.awaitHead(u.limits.progress)
	}
	return OpWrite, nil
}

func (u *upload) closeBody() {
	if u.closed.CompareAndSwap(false, true) {
		_ = u.body.Close()
	}
}

// ended reports whether the goroutine is over.
func (u *upload) ended() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// complete reports whether the whole body has been sent, at the end of the response.
func (u *upload) complete() bool {
	if !u.ended() && u.finishing.Load() {
		timer := time.NewTimer(lastWrite)
		defer timer.Stop()
		select {
		case <-u.done:
		case <-timer.C:
		}
	}
	return u.ended() && u.err == nil
}

// abort ends the upload by closing the connection. It returns when the
// goroutine is over, or when all that keeps it is the caller's own Read.
func (u *upload) abort() {
	u.aborted.Store(true)
	_ = u.c.wire.Close()
	if u.reading.Load() {
		go u.closeBody() // Close may wait for the Read, so not here
		return
	}
	<-u.done
}

// failure returns the error on our side, if the goroutine has found one.
func (u *upload) failure() (Op, error) {
	if !u.ended() || u.err == errStopped { //nolint:errorlint // never wrapped
		return "", nil
	}
	return u.op, u.err
}
