package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// progressTimeout is the time for which a body may stall, in either direction. A body
// has no total limit: uploads and responses may take their time.
const progressTimeout = 60 * time.Second

// maxDiscard limits what is read (readon.go) of a body that is not wanted.
const maxDiscard = 64 << 20

// requestBody is the body of one app request: either kept, and then it can be sent
// again, or streamed, and then it cannot.
type requestBody struct {
	kept   []byte
	stream *streamedBody // nil if kept
	length int64         // -1: not known
}

// openBody reads a body that is small enough to be kept; a longer one streams. For a
// body of unknown length, as many first bytes are awaited as would be kept. That
// delays a slow stream, which meanwhile takes up no place and no connection to
// upstream.
func (c *call) openBody() error {
	in, config := c.in, &c.handler.config
	if in.Body == nil || in.Body == http.NoBody || in.ContentLength == 0 {
		return nil
	}
	control := http.NewResponseController(c.w)
	stream := &streamedBody{body: in.Body, control: control, left: config.MaxBodyBytes, std: byStdServer(in)}
	if in.ContentLength < 0 && config.ReplayBodyBytes > 0 {
		head, err := stream.look(int(config.ReplayBodyBytes) + 1)
		if err != nil {
			return bodyProblem(err, NotSent)
		}
		if stream.whole() && int64(len(head)) <= config.ReplayBodyBytes {
			c.body = requestBody{kept: head, length: int64(len(head))}
			return nil
		}
	}
	if in.ContentLength < 0 || in.ContentLength > config.ReplayBodyBytes {
		// Without this net/http reads the rest of the request before the first byte
		// of a response that comes early.
		_ = control.EnableFullDuplex()
		c.body = requestBody{stream: stream, length: in.ContentLength}
		return nil
	}
	kept, err := keep(stream, int(in.ContentLength))
	if err != nil {
		return bodyProblem(err, NotSent)
	}
	if !stream.done.Load() {
		// The read that finds the end lets net/http watch the connection again.
		_, _ = stream.Read(make([]byte, 1))
	}
	c.body = requestBody{kept: kept, length: in.ContentLength}
	return nil
}

// atOnce is up to how many bytes the room for a body is made before they are here.
const atOnce = 8 << 10

// keep reads a body of a known length.
func keep(stream *streamedBody, length int) ([]byte, error) {
	if length <= atOnce {
		kept := make([]byte, length)
		_, err := io.ReadFull(stream, kept)
		return kept, err
	}
	kept, err := stream.look(length)
	if err == nil && len(kept) < length {
		err = io.ErrUnexpectedEOF
	}
	stream.ahead = nil
	return kept, err
}

// look returns the length of the body, -1 where it is not known, and up to limit
// bytes of its beginning, which are not taken: reader has them again.
func (b *requestBody) look(limit int) (length int64, head []byte, err error) {
	if b.stream == nil {
		return int64(len(b.kept)), b.kept, nil
	}
	if b.length >= 0 {
		head, err = b.stream.look(limit)
		return b.length, head, err
	}
	// One byte more tells whether limit is all. That the stream happens to know its end
	// already says how fast the app was, and not what it sent.
	head, err = b.stream.look(limit + 1)
	if len(head) <= limit {
		return int64(len(head)), head, err
	}
	return -1, head[:limit], err
}

// cut reports whether upstream has not been sent the whole body, because the app
// did not send it.
func (b *requestBody) cut() bool { return b.stream != nil && b.stream.failure.Load() != nil }

// replayable reports whether reader can be called again.
func (b *requestBody) replayable() bool { return b.stream == nil }

// reader returns the body for one attempt.
func (b *requestBody) reader() io.ReadCloser {
	switch {
	case b.stream != nil:
		return b.stream
	case len(b.kept) == 0:
		return http.NoBody
	default:
		return keptReader{bytes.NewReader(b.kept)}
	}
}

// keptReader shows its Len, so that upstream writes head and body at once.
type keptReader struct{ *bytes.Reader }

func (keptReader) Close() error { return nil }

// What can be wrong with the app's body.
var (
	errTooLarge      = errors.New("request body too large")
	errBodyMalformed = errors.New("the app's body is malformed")
	errBodyCut       = errors.New("the app's body ended early")
	errBodyStalled   = errors.New("the app's body stalled")
	errAbandoned     = errors.New("the request has ended")
)

// streamedBody passes the app's body on, with a limit on its size and on its
// pauses, and remembers how it ended: upstream's error alone does not tell whose
// fault it was. It is read by one goroutine at a time.
type streamedBody struct {
	control *http.ResponseController
	mu      sync.Mutex // held by Read; guards the next four
	body    io.Reader
	ahead   []byte // read by look, and not by Read
	left    int64
	touched time.Time // when the read deadline was last moved
	read    atomic.Int64
	std     bool        // the server is net/http's; package strict reads on by itself
	done    atomic.Bool // the end, or an error, was seen
	failure atomic.Pointer[error]
	// abandoned hands the read deadline over to abandon. Otherwise a Read that is
	// just starting or returning could move it again, and the next reader (this
	// body, or net/http on its way out) would wait for a silent app.
	abandoned atomic.Bool
}

func (s *streamedBody) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.abandoned.Load() {
		return 0, errAbandoned
	}
	if len(s.ahead) > 0 {
		n := copy(p, s.ahead)
		if s.ahead = s.ahead[n:]; len(s.ahead) == 0 {
			s.ahead = nil
		}
		return n, nil
	}
	return s.read1(p)
}

// look reads ahead, to limit bytes or to the end. What an earlier look has read is
// not read again.
func (s *streamedBody) look(limit int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.ahead
	for len(head) < limit {
		if head == nil {
			head = make([]byte, 0, min(limit, 4<<10))
		}
		if len(head) == cap(head) {
			head = slices.Grow(head, min(len(head), limit-len(head)))
		}
		n, err := s.read1(head[len(head):min(cap(head), limit)])
		head = head[:len(head)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	s.ahead = head
	return head[:min(len(head), limit)], nil
}

// read1 reads once from the app. It is called with mu held.
func (s *streamedBody) read1(p []byte) (int, error) {
	if s.done.Load() {
		if err := s.failure.Load(); err != nil {
			return 0, *err
		}
		return 0, io.EOF
	}
	// Moving a deadline costs a lock and a timer: now and then is enough.
	if now := time.Now(); now.Sub(s.touched) > progressTimeout/16 {
		s.touched = now
		s.setDeadline(now.Add(progressTimeout))
	}
	if int64(len(p)) > s.left+1 {
		p = p[:s.left+1] // one byte more than allowed tells "too large" from "all"
	}
	n, err := s.body.Read(p)
	s.read.Add(int64(n))
	if s.left -= int64(n); s.left < 0 {
		n, err = 0, errTooLarge
	}
	if err != nil {
		// The deadline must not outlive the body: net/http goes on reading to see
		// whether the app is still there.
		s.setDeadline(time.Time{})
		if err != io.EOF {
			s.failure.Store(&err)
		}
		s.done.Store(true)
	}
	return n, err
}

// Close leaves the app's body to net/http.
func (s *streamedBody) Close() error { return nil }

// problem is the response if the app's body was the reason, or nil.
func (s *streamedBody) problem(outcome Outcome) error {
	if failure := s.failure.Load(); failure != nil {
		return bodyProblem(*failure, outcome)
	}
	return nil
}

// settle waits for the Read in which net/http ended the request's context: it
// does so before that Read returns and says how the body ended.
func (s *streamedBody) settle() {
	_ = s.control.SetReadDeadline(time.Now().Add(lingerTimeout)) // should it have ended for another reason
	s.mu.Lock()
	defer s.mu.Unlock()
}

// blame returns err, with which sending ended, or what was wrong with the app's
// body if that is why.
func (c *call) blame(err error) error {
	stream := c.body.stream
	if stream == nil {
		return err
	}
	if c.Err() != nil {
		stream.settle()
	}
	if problem := stream.problem(Unknown); problem != nil && c.record.Sent {
		return problem
	}
	return err
}

func bodyProblem(err error, outcome Outcome) error {
	if errors.Is(err, errTooLarge) {
		return &failed{problem: &problemBodyTooLarge, outcome: outcome}
	}
	// The parsers of chunks and trailers quote what they could not parse.
	cause := errBodyMalformed
	switch netErr, ok := errors.AsType[net.Error](err); {
	case ok && netErr.Timeout():
		cause = errBodyStalled
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), ok:
		cause = errBodyCut
	}
	return &failed{problem: &problemBodyRead, outcome: outcome, cause: cause}
}

// setDeadline leaves the deadline alone once abandon has set it. To look
// afterwards closes the gap: either this sees abandoned, or abandon comes last.
func (s *streamedBody) setDeadline(at time.Time) {
	if s.abandoned.Load() {
		return
	}
	_ = s.control.SetReadDeadline(at)
	if s.abandoned.Load() {
		_ = s.control.SetReadDeadline(time.Now().Add(lingerTimeout))
	}
}

// abandon ends the reading of a body that is not wanted; the connection cannot be
// used again. A Read that is under way gets a moment: net/http aborts the one that it
// finds, forgets the deadline, and goes on to read what is left, from an app that may
// be silent for ever. Not at once, because a connection closed with unread bytes is
// reset, and an app that still writes loses the response.
func (s *streamedBody) abandon() {
	if s.whole() {
		return
	}
	s.abandoned.Store(true)
	_ = s.control.SetReadDeadline(time.Now().Add(lingerTimeout))
	s.mu.Lock() // wait for the Read
	defer s.mu.Unlock()
	// net/http reads only some of what is left, and none of it if the app has
	// said that it closes the connection.
	if s.std {
		readOn(s.body, s.control)
	}
}

// size is the number of body bytes read from the app so far.
func (b *requestBody) size() int64 {
	if b.stream == nil {
		return int64(len(b.kept))
	}
	return b.stream.read.Load()
}

// whole reports whether the body was read to its good end.
func (s *streamedBody) whole() bool { return s.done.Load() && s.failure.Load() == nil }

// abandon must be called before net/http takes the connection back: a goroutine that
// still reads a streamed body must have stopped by then.
func (b *requestBody) abandon() {
	if b.stream != nil {
		b.stream.abandon()
	}
}

// leaveBody is called when nothing sends the body any more. A write that is followed
// holds its call, for minutes perhaps.
func (c *call) leaveBody() {
	c.body.abandon()
	if c.followed {
		c.body.kept = nil
	}
}

// unfinished reports whether there is a response although the body was not read
// to its end.
func (b *requestBody) unfinished() bool { return b.stream != nil && !b.stream.whole() }
