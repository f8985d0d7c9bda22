package proxy

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
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
// token was refused was not executed.
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
	if err != nil {
		// Not upstream's 401: the app has no part in our token trouble.
		_ = response.Body.Close()
		c.rejected = true
		return nil, err
	}
	if again.Equal(token) {
		c.tokenRefused = true
		return response, nil
	}
	_ = response.Body.Close()
	c.record.Replay = reason
	// A copy: what was answered early may still be writing the first one.
	out = out.WithContext(out.Context())
	out.Header = maps.Clone(out.Header)
	return c.sendWith(again, out)
}

// sendWith sends out with one token, which it puts into it.
func (c *call) sendWith(token secret.String, out *http.Request) (*http.Response, error) {
	if err := c.handler.pacer.wait(out.Context()); err != nil {
		_ = out.Body.Close()
		return nil, err
	}
	c.trace = upstream.Trace{}
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

// dropEchoes drops fields that hold the token: something at upstream that echoes
// what it got must not hand it to the app, nor to the log by X-Request-Id.
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

// maxPeek limits how much is read of a response that may say why it refuses.
const maxPeek = 64 << 10

// rejected says whether upstream refused the token, and how it said so: by a
// 401, or in the older dialect by a 400 or 403 whose error.message says that
// the token has expired. The body is put back.
func rejected(response *http.Response) string {
	switch response.StatusCode {
	case http.StatusUnauthorized:
		return "401"
	case http.StatusBadRequest, http.StatusForbidden:
	default:
		return ""
	}
	if response.ContentLength > maxPeek || !strings.Contains(response.Header.Get("Content-Type"), "json") {
		return ""
	}
	peeked, err := io.ReadAll(io.LimitReader(response.Body, maxPeek+1))
	response.Body = &putBack{Reader: io.MultiReader(bytes.NewReader(peeked), failing{err}, response.Body), Closer: response.Body}
	if err != nil || len(peeked) > maxPeek {
		return ""
	}
	var said struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(decoded(response, peeked), &said) != nil ||
		!strings.Contains(strings.ToLower(said.Error.Message), "expired") {
		return ""
	}
	return "expired"
}

// decoded unpacks a copy, because the app may have asked for a packed response;
// the response itself passes as it is.
func decoded(response *http.Response, peeked []byte) []byte {
	var unpacked io.Reader
	var err error
	switch strings.ToLower(response.Header.Get("Content-Encoding")) {
	case "", "identity":
		return peeked
	case "gzip", "x-gzip":
		unpacked, err = gzip.NewReader(bytes.NewReader(peeked))
	case "deflate": // zlib's format (RFC 9110 section 8.4.1.2), or bare, as some send it
		if unpacked, err = zlib.NewReader(bytes.NewReader(peeked)); err != nil {
			unpacked, err = flate.NewReader(bytes.NewReader(peeked)), nil
		}
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(io.LimitReader(unpacked, maxPeek))
	if err != nil {
		return nil
	}
	return plain
}

// putBack is a body of which the beginning was read already.
type putBack struct {
	io.Reader
	io.Closer
}

// failing ends the part that was read with the error that ended it.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}
