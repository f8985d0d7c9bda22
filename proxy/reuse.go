package proxy

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// room holds the other things that a request needs, in one piece with its call.
type room struct {
	in, out  http.Request
	url      url.URL // of out
	fields   http.Header
	values   [valueSlots]string
	patterns [1]string // that routed matched
	answer   upstream.Room
}

// The fields whose one value lies in room.
const (
	valueEntity = iota
	valueVersion
	valueRequestID
	valueEchoedID // to the app, as the next two
	valueUpstreamID
	valueTiming
	valueSlots
)

// value makes text the one value of a field. No room behind it: what is added to one
// field must not run into the next.
func (c *call) value(slot int, text string) []string {
	c.room.values[slot] = text
	return c.room.values[slot : slot+1 : slot+1]
}

// calls holds calls to use again. They are empty.
var calls = sync.Pool{New: func() any { return new(call) }}

// maxKeptFields bounds a map of fields that is used again.
const maxKeptFields = 32

// free gives c to a later request, if nothing else can still hold it: it was a read
// without a body, sent once, on a connection that was there, and the app has the
// whole response. Then no goroutine but the handler's has ever seen it. Every other
// one is left to the collector.
func (c *call) free() {
	r := &c.record
	switch {
	case c.in.Method != http.MethodGet && c.in.Method != http.MethodHead, c.in.ContentLength != 0,
		r.Origin != OriginUpstream, r.Replay != "", r.Retried, r.ConnectTime != 0:
		return
	}
	fields := c.room.fields
	if len(fields) > maxKeptFields {
		fields = nil
	}
	clear(fields)
	c.room.answer.Empty()
	*c = call{room: room{fields: fields, answer: c.room.answer}}
	calls.Put(c)
}
