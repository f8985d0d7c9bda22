package proxy

import (
	"net/http"
	"strconv"
	"time"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

const (
	headerExplain = "X-Monite-Proxy-Explain"
	headerTiming  = "Server-Timing"
)

// setTiming says where the time went until the head of the answer, in
// milliseconds: waiting for a token, making a connection (if one was made), from
// sending to upstream's head, all of it. Upstream's own field does not pass: in
// one list nobody could tell whose is whose.
func setTiming(header http.Header, record *Record) {
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
	add("total", time.Since(record.Start))
	header[headerTiming] = []string{string(text)}
}

// explanation is what is told, on request, of the way of one request: which
// header or default decided, and whether the token was there. It holds no id.
type explanation struct{ identity, entity, token string }

// explain notes what is told later. It is nil unless the operator allows it and
// the app asks.
func (h *Handler) explain(in *http.Request, identity Identity) *explanation {
	if values := in.Header[headerExplain]; !h.config.Explain || len(values) != 1 || values[0] != "1" {
		return nil
	}
	e := &explanation{identity: "default", entity: "none", token: "unknown"}
	switch {
	case identity.Named != nil:
		e.identity = identity.Named.Name
	case len(in.Header[headerEntityUser]) > 0:
		e.identity = "header"
	}
	switch {
	case len(in.Header[headerEntity]) > 0:
		e.entity = "header"
	case identity.EntityID != "":
		e.entity = "default"
	}
	if cache, ok := h.config.Tokens.(interface {
		Cached(grant tokencache.Grant) bool
	}); ok {
		e.token = "minted"
		if cache.Cached(identity.Grant) {
			e.token = "cached"
		}
	}
	return e
}

// setExplanation answers X-Monite-Proxy-Explain.
func setExplanation(header http.Header, record *Record) {
	e := record.explanation
	if e == nil {
		return
	}
	replay := "none"
	if record.Replay != "" {
		replay = record.Replay
	}
	header.Set(headerExplain, "identity="+e.identity+"; grant="+record.GrantType+"; entity="+e.entity+"; token="+e.token+
		"; replay="+replay+"; retried="+strconv.FormatBool(record.Retried))
}
