package proxy

import (
	"context"
	"maps"
	"net/http"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// TokenSource gives access tokens. tokencache.Cache is one.
type TokenSource interface {
	Token(ctx context.Context, grant tokencache.Grant) (secret.String, error)
	// Invalidate says that upstream refused this token of grant.
	Invalidate(grant tokencache.Grant, rejected secret.String)
}

// send sends out with a token. If upstream refuses the token, it sends out once
// more with a new one, provided that the body can be sent again: a request whose
// token was refused was not executed. Where that cannot be done the app gets
// upstream's own response, and none about our trouble with tokens.
//
// Getting a token is a part of this step, and not a step before, because only here
// is the response seen that asks for another one.
func (c *call) send(out *http.Request) (*http.Response, error) {
	tokens, grant := c.handler.config.Tokens, c.identity.Grant
	start := time.Now()
	token, err := tokens.Token(out.Context(), grant)
	c.waited(start, err)
	if err != nil {
		_ = out.Body.Close()
		return nil, err
	}
	response, err := c.sendWith(token, out)
	if err != nil {
		return nil, err
	}
	reason := rejected(response)
	if reason == "" {
		// A gateway's error would say nothing of the token.
		if accepted := c.handler.config.OnAccepted; accepted != nil && response.StatusCode < http.StatusBadRequest {
			accepted(grant, start)
		}
		return response, nil
	}
	tokens.Invalidate(grant, token)
	if !c.body.replayable() {
		c.tokenRefused = true
		return response, nil
	}
	start = time.Now()
	again, err := tokens.Token(out.Context(), grant)
	c.waited(start, err)
	if err != nil && c.Err() != nil {
		_ = response.Body.Close()
		c.rejected = true
		return nil, err
	}
	if err != nil || again.Equal(token) {
		c.tokenRefused = true
		return response, nil //nolint:nilerr // without a successor the response of upstream stands
	}
	return c.sendAgain(again, out, response, reason)
}

// sendAgain replays out with another token. refused is the response that asked for
// it; the app gets that one if the replay does not leave.
func (c *call) sendAgain(token secret.String, out *http.Request, refused *http.Response, reason string) (*http.Response, error) {
	c.record.Replay = reason
	// A copy: if upstream responded early, the first one may still be in use for
	// writing.
	out = out.WithContext(out.Context())
	out.Header = maps.Clone(out.Header)
	response, err := c.sendWith(token, out)
	if err != nil && c.Err() == nil && !c.unsure && !mayHaveActed(err) {
		c.record.Replay, c.tokenRefused = "", true
		return refused, nil
	}
	_ = refused.Body.Close()
	return response, err
}

// sendWith sends out with one token, which it puts into it.
func (c *call) sendWith(token secret.String, out *http.Request) (*http.Response, error) {
	if err := c.handler.pacer.wait(c.Context); err != nil { // which outlives c, should something hold it
		_ = out.Body.Close()
		return nil, err
	}
	c.trace = upstream.Trace{Room: &c.room.answer}
	out.Body = c.body.reader()
	out.Header["Authorization"] = []string{token.Bearer()}
	c.record.Sent = true
	start := time.Now()
	response, err := c.attempt(out)
	c.record.UpstreamTime, c.record.ConnectTime = time.Since(start), c.trace.DialDuration
	if err == nil {
		c.handler.pacer.heard(response)
		dropEchoes(response.Header, token)
	}
	return response, err
}

// minEcho is the length from which a token is not found in a field by chance.
const minEcho = 16

// dropEchoes drops fields that hold the token: a server at upstream that echoes
// requests must not hand it to the app, nor to the log by X-Request-Id.
func dropEchoes(header http.Header, token secret.String) {
	for name, values := range header {
		if token.Len() < minEcho && name != "X-Request-Id" {
			continue
		}
		for _, value := range values {
			if token.In(value) {
				delete(header, name)
			}
		}
	}
}
