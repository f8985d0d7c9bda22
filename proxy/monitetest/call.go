package monitetest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/resources"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

const maxBody = resources.MaxBody

// call is one request on its way through the simulator.
type call struct {
	s         *Simulator
	w         http.ResponseWriter
	r         *http.Request
	requestID string
	body      *countedBody

	at       *node             // where the path leads; nil if it is not published
	op       *schema.Operation // nil if at is nil or has no such method
	params   []string          // the values of the template's {names}, in order
	token    token
	entityID string // the entity that is acted for, if any

	record   Request
	ringSlot uint64
}

func (s *Simulator) newCall(w http.ResponseWriter, r *http.Request) *call {
	c := &call{s: s, w: w, r: r, requestID: r.Header.Get("X-Request-Id")}
	if c.requestID == "" {
		c.requestID = newRequestID()
	}
	c.body = &countedBody{from: r.Body, hash: sha256.New()}
	c.record = newRecord(r, s.now())
	c.at, c.params = routes().find(r.URL.Path)
	if c.at != nil {
		c.op = c.at.methods[r.Method]
	}
	if c.op != nil {
		c.record.Route = c.op.Method + " " + c.op.Template
	}
	c.ringSlot = s.ring.add(c.record)
	s.ledger.arrived(c.record)
	return c
}

func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return schema.UUID(b)
}

// nonce names the write that a test wants counted.
func nonce(r *http.Request) string {
	if value := r.Header.Get("X-Sim-Nonce"); value != "" {
		return value
	}
	return r.URL.Query().Get("sim_nonce")
}

// executed says that the state has changed. Everything that changes state
// calls it once, right after the change.
func (c *call) executed() {
	c.drainBody() // the ledger knows writes by their whole body
	c.record.Executed, c.record.BodySHA256 = true, hex.EncodeToString(c.body.hash.Sum(nil))
	c.s.ledger.executed(c.record)
}

func (c *call) write(a *answer) {
	c.record.Status = a.status
	a.writeTo(c.w, c.r)
}

// finish completes what the ring and the ledger know of the request.
func (c *call) finish() {
	c.record.BodyLength = c.body.count
	c.record.BodySHA256 = hex.EncodeToString(c.body.hash.Sum(nil))
	c.record.BodyRead = c.body.complete
	if c.body.complete && len(c.r.Trailer) > 0 {
		c.record.Trailer = c.r.Trailer.Clone()
	}
	c.record.Grant, c.record.EntityUserID = c.token.grantType, c.token.entityUserID
	c.record.Done = true
	c.s.ring.update(c.ringSlot, c.record)
	c.s.ledger.finished(c.record)
}

// readBody reads all of a body that is not a file.
func (c *call) readBody() ([]byte, *answer) {
	body, err := io.ReadAll(io.LimitReader(c.body, maxBody+1))
	switch {
	case err != nil:
		return nil, failure(http.StatusBadRequest, "bad_request", "The request body could not be read")
	case len(body) > maxBody:
		return nil, failure(http.StatusRequestEntityTooLarge, "request_too_large", "The request body is too large")
	}
	return body, nil
}

// drainBody reads the rest, so that the record has the whole body's hash even where
// the response did not depend on it.
func (c *call) drainBody() {
	_, _ = io.Copy(io.Discard, io.LimitReader(c.body, 2*maxBody))
}

// untilGone waits until the client goes away. net/http notices that only once
// the body has been read to its end: where that fails, the client is gone, and
// the context would never end.
func (c *call) untilGone() {
	if c.drainBody(); c.body.complete {
		<-c.r.Context().Done()
	}
}

// countedBody hashes what is read through it. One goroutine reads.
type countedBody struct {
	from     io.Reader
	hash     hash.Hash
	count    int64
	complete bool
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.hash.Write(p[:n])
	b.count += int64(n)
	if errors.Is(err, io.EOF) {
		b.complete = true
	}
	return n, err
}
