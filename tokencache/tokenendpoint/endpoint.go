package tokenendpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Credentials gives the client id and secret that belong together at this
// moment; a rotation changes both at once.
type Credentials interface {
	Pair() (id, secret secret.String)
}

// Endpoint mints tokens. It implements tokencache.Fetcher.
type Endpoint struct {
	// Origin is the upstream's scheme and host.
	Origin *url.URL
	// APIVersion is sent as X-Monite-Version, a date such as 2024-05-25.
	APIVersion string
	// Credentials are asked at every mint.
	Credentials Credentials
	// By names a pair, for Token.By. Nil: tokens do not say who minted them.
	By func(Credentials) string
	// Transport sends the request. It must not follow redirects, must not ask for a
	// compressed response, and must not quote in its errors what the peer sent:
	// net/http's does so if the head of a response is malformed.
	Transport http.RoundTripper
	// Now is for the dates in Retry-After. Default (nil): time.Now.
	Now func() time.Time
}

// maxAnswer limits what is read of a response. A real one has a few hundred bytes.
const maxAnswer = 64 << 10

// mintRequest is the body of POST /v1/auth/token. Monite refuses other fields.
type mintRequest struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	GrantType    string `json:"grant_type"`
	EntityUserID string `json:"entity_user_id,omitempty"`
}

// Fetch mints one token. Its errors are *tokencache.FetchError.
func (e *Endpoint) Fetch(ctx context.Context, grant tokencache.Grant) (tokencache.Token, error) {
	id, clientSecret := e.Credentials.Pair()
	with := &pair{id, clientSecret}
	in, err := e.request(ctx, grant, with)
	if err != nil {
		return tokencache.Token{}, &tokencache.FetchError{Reason: tokencache.Unavailable, Err: err}
	}
	response, err := e.Transport.RoundTrip(in)
	if err != nil {
		return tokencache.Token{}, transportError(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return tokencache.Token{}, e.statusError(response)
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return tokencache.Token{}, malformed("response has a Content-Encoding that was not asked for")
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case len(body) > maxAnswer:
		return tokencache.Token{}, malformed("response is longer than 64 KiB")
	case err != nil && ctx.Err() != nil:
		return tokencache.Token{}, transportError(ctx, err)
	case err != nil:
		return tokencache.Token{}, malformed("response is cut off")
	}
	token, err := parseResponse(body)
	if err != nil {
		return tokencache.Token{}, &tokencache.FetchError{Reason: tokencache.Malformed, Status: response.StatusCode, Err: err}
	}
	if e.By != nil {
		token.By = e.By(with)
	}
	return token, nil
}

func (e *Endpoint) request(ctx context.Context, grant tokencache.Grant, with *pair) (*http.Request, error) {
	body, err := json.Marshal(mintRequest{
		ClientID:     with.id.Reveal(),
		ClientSecret: with.secret.Reveal(),
		GrantType:    string(grant.Type),
		EntityUserID: grant.EntityUserID,
	})
	if err != nil {
		return nil, errors.New("encode the mint request")
	}
	target := *e.Origin
	target.Path = "/v1/auth/token"
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("make the mint request")
	}
	// One attempt is one attempt: with GetBody a transport may send it again.
	out.GetBody = nil
	out.Header.Set("Content-Type", "application/json")
	out.Header.Set("Accept", "application/json")
	out.Header.Set("X-Monite-Version", e.APIVersion)
	return out, nil
}

// transportError keeps the transport's error, which names hosts and system
// calls, never a body.
func transportError(ctx context.Context, err error) error {
	reason := tokencache.Unavailable
	var timeout interface{ Timeout() bool }
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		reason = tokencache.TimedOut
	}
	return &tokencache.FetchError{Reason: reason, Err: err}
}

func (e *Endpoint) statusError(response *http.Response) error {
	err := &tokencache.FetchError{Reason: tokencache.Unavailable, Status: response.StatusCode}
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	err.RetryAfter = parseRetryAfter(response.Header.Get("Retry-After"), now())
	switch status := response.StatusCode; {
	case status == http.StatusTooManyRequests:
		err.Reason = tokencache.Throttled
	// Monite does not publish which of these a wrong secret, an unknown or a
	// deleted user get. None of them heals by trying again.
	case status == http.StatusBadRequest, status == http.StatusUnauthorized,
		status == http.StatusForbidden, status == http.StatusUnprocessableEntity:
		if fromMonite(response) {
			err.Reason = tokencache.Rejected
		} else {
			err.Err = errNotMonite
		}
	case status >= 300 && status < 400:
		err.Err = errors.New("redirects are not followed")
	case status >= 200 && status < 300:
		err.Reason, err.Err = tokencache.Malformed, errors.New("only 200 carries a token")
	}
	return err
}

func malformed(text string) error {
	return &tokencache.FetchError{Reason: tokencache.Malformed, Status: http.StatusOK, Err: fmt.Errorf("%s", text)}
}
