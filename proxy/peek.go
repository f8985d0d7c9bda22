package proxy

import (
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// maxPeek limits how much is read of a response that may say why it refuses, and
	// peekTimeout how long that takes. A response that is longer, or comes more slowly,
	// passes as it is.
	maxPeek     = 64 << 10
	peekTimeout = time.Second
)

// peek reads the beginning of a response's body and puts it back. whole is false if
// that is not all of it.
func peek(response *http.Response) (beginning []byte, whole bool) {
	if response.Body == http.NoBody {
		return nil, true
	}
	p := &peeked{body: response.Body, over: make(chan struct{})}
	response.Body = p
	timeout := time.NewTimer(peekTimeout)
	defer timeout.Stop()
	go p.readAhead()
	select {
	case <-p.over:
	case <-timeout.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enough = true
	return p.ahead, p.err == io.EOF && len(p.ahead) <= maxPeek //nolint:errorlint // a body's end is bare
}

// peeked is a body of which the beginning has been read. The goroutine that read it
// may still be waiting for more; what that brings is not lost.
type peeked struct {
	body io.ReadCloser
	over chan struct{} // closed when the goroutine reads no more

	mu     sync.Mutex // guards all below
	ahead  []byte     // read, and not yet read again
	err    error      // that came after it
	enough bool
}

// readAhead reads until there is enough.
func (p *peeked) readAhead() {
	defer close(p.over)
	buffer := make([]byte, 4<<10)
	for {
		n, err := p.body.Read(buffer)
		p.mu.Lock()
		p.ahead = append(p.ahead, buffer[:n]...)
		p.err = err
		enough := p.enough || err != nil || len(p.ahead) > maxPeek
		p.mu.Unlock()
		if enough {
			return
		}
	}
}

func (p *peeked) Read(b []byte) (int, error) {
	if n, err, ok := p.again(b); ok {
		return n, err
	}
	<-p.over
	if n, err, ok := p.again(b); ok {
		return n, err
	}
	return p.body.Read(b)
}

// again reads what was read ahead. ok is false if nothing is left of it.
func (p *peeked) again(b []byte) (n int, err error, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ahead) > 0 {
		n = copy(b, p.ahead)
		p.ahead = p.ahead[n:]
	}
	if len(p.ahead) == 0 && p.err != nil {
		return n, p.err, true
	}
	return n, nil, n > 0
}

// Close ends the goroutine too, since closing unblocks its Read.
func (p *peeked) Close() error {
	err := p.body.Close()
	<-p.over
	return err
}
