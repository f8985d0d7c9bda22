package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// oneToken is a TokenSource with a single token.
type oneToken struct{ token secret.String }

func (o oneToken) Token(context.Context, tokencache.Grant) (secret.String, error) {
	return o.token, nil
}
func (o oneToken) Invalidate(tokencache.Grant, secret.String) {}

// read sends one GET through the same handler as an app's, and returns the status
// and the body. Status 0: there was no response.
func (e *examination) read(ctx context.Context, grant tokencache.Grant, token secret.String, entityID, path string) (status int, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, 3*stepTimeout)
	defer cancel()
	handler := proxy.New(proxy.Config{
		Origin: e.cfg.Upstream, Tokens: oneToken{token}, Upstream: e.seen, APIVersion: e.cfg.APIVersion,
		Policy: identity.Policy{Default: grant, EntityID: entityID}, MaxInFlight: 1, ReadOnly: true, Log: zerolog.Nop(),
	})
	in, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return 0, nil
	}
	in.RequestURI = path
	var w keptResponse
	func() {
		defer func() { _ = recover() }() // a truncated response panics, as net/http wants it
		handler.ServeHTTP(&w, in)
	}()
	if e.seen.err != nil {
		return 0, nil
	}
	return w.status, w.body.Bytes()
}

// keptResponse is a ResponseWriter that keeps the beginning of a response.
type keptResponse struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *keptResponse) Header() http.Header {
	if k.header == nil {
		k.header = http.Header{}
	}
	return k.header
}

// Flush is part of what the handler asks of a ResponseWriter.
func (k *keptResponse) Flush() {}

func (k *keptResponse) WriteHeader(status int) { k.status = status }

func (k *keptResponse) Write(text []byte) (int, error) {
	if room := (64 << 10) - k.body.Len(); room > 0 {
		k.body.Write(text[:min(len(text), room)])
	}
	return len(text), nil
}

// refusedTo explains a status of the request that what names.
func (e *examination) refusedTo(what string, status int) finding {
	f := e.refused(status)
	f.What = what + ": " + f.What
	return f
}

// refused explains a status that no step expects of a request with a good token.
func (e *examination) refused(status int) finding {
	f := finding{Result: problem, What: fmt.Sprintf("Monite responds with status %d", status)}
	switch {
	case status == 0:
		return e.explainSend(e.seen.err)
	case status == http.StatusUnauthorized:
		f.What = "Monite refuses the token that it has just issued (status 401)"
		f.Why = "the token was revoked, the account or user was disabled, or a gateway in between changes Authorization"
		f.Next = "run the doctor again; then ask Monite's support"
	case status == http.StatusTooManyRequests:
		f.What = "Monite responds with 429: too many requests of this client id"
		f.Why = "other programs call with the same credentials: Monite allows each client id 30 requests in a second"
		f.Next = "try again in a minute; if it persists, find the other programs, or lower MONITE_MAX_REQUESTS_PER_SECOND"
	case e.seen.html, status/100 == 3:
		return e.explainStranger(status)
	case status >= 500:
		f.Why, f.Next = "Monite itself is in trouble: nothing is wrong here", "try again in a minute; look at Monite's status page"
	}
	return f
}
