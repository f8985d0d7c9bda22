package proxy

import (
	"strconv"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

const (
	headerExplain = "X-Monite-Proxy-Explain"
	headerTiming  = "Server-Timing"
)

// setTiming says where the time went until the head of the response, in milliseconds:
// waiting for a token, making a connection (if one was made), from sending to
// upstream's head, all of it. Upstream's own field does not pass: in one list the two
// could not be told apart.
func (c *call) setTiming(now time.Time) {
	record := &c.record
	var room [128]byte
	text := room[:0]
	add := func(name string, d time.Duration) {
		if len(text) > 0 {
			text = append(text, ", "...)
		}
		text = append(text, name...)
		text = strconv.AppendFloat(append(text, ";dur="...), milliseconds(d), 'f', -1, 64)
	}
	if record.GrantType != "" {
		add("token", record.TokenWait)
	}
	if record.ConnectTime > 0 {
		add("connect", record.ConnectTime)
	}
	if record.Sent {
		add("upstream", record.UpstreamTime)
	}
	add("total", now.Sub(record.Start))
	c.w.Header()[headerTiming] = c.value(valueTiming, string(text))
}

// explanation says, on request, how one request was sent: which header or default
// decided, and whether the token was cached. It holds no id.
type explanation struct{ identity, entity, token, key string }

// explain notes the explanation for later, if the operator allows it and the app
// asks.
func (c *call) explain() {
	header, config := c.in.Header, &c.handler.config
	if values := header[headerExplain]; !config.Explain || len(values) != 1 || values[0] != "1" {
		return
	}
	e := &explanation{identity: "default", entity: "none", token: "unknown"}
	switch {
	case c.identity.Named != nil:
		e.identity = c.identity.Named.Name
	case len(header[identity.HeaderUser]) > 0:
		e.identity = "header"
	}
	switch {
	case len(header[identity.HeaderEntity]) > 0:
		e.entity = "header"
	case c.identity.EntityID != "":
		e.entity = "default"
	}
	if cache, ok := config.Tokens.(interface {
		Cached(grant tokencache.Grant) bool
	}); ok {
		e.token = "minted"
		if cache.Cached(c.identity.Grant) {
			e.token = "cached"
		}
	}
	if len(header[headerKey]) > 0 {
		e.key = "ignored"
		if c.remembers() && config.Journal.Remembers(true) {
			e.key = "known"
		}
	}
	c.explanation = e
}

// setExplanation sets X-Monite-Proxy-Explain in the response.
func (c *call) setExplanation() {
	e := c.explanation
	if e == nil {
		return
	}
	replay := "none"
	if c.record.Replay != "" {
		replay = c.record.Replay
	}
	text := "identity=" + e.identity + "; grant=" + c.record.GrantType + "; entity=" + e.entity + "; token=" + e.token +
		"; replay=" + replay + "; retried=" + strconv.FormatBool(c.record.Retried)
	if c.record.Repeat != "" {
		text += "; write=" + c.record.Repeat
	}
	if e.key != "" {
		text += "; key=" + e.key
	}
	c.w.Header().Set(headerExplain, text)
}
