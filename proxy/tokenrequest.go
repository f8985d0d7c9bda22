package proxy

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

const (
	// tokenPath is that of Monite's own token endpoint, so that a backend changes a
	// base URL and nothing else.
	tokenPath = "/v1/auth/token"
	// maxTokenRequest bounds the body of a request for a token, in bytes. A real one
	// has 200.
	maxTokenRequest = 16 << 10
	// handleSeconds is the lifetime of a handle that an app is told. A handle has no
	// end, so this is true, and an app that asks again gets another one.
	handleSeconds = 24 * 60 * 60
)

// isTokenRequest reports whether a request is the one that gets a handle, if handles
// are on. path is without the prefix of an identity.
func isTokenRequest(method, path string) bool {
	return method == http.MethodPost && path == tokenPath
}

// answerTokenRequest responds to POST /v1/auth/token as Monite would, with a handle
// in place of the token.
func (c *call) answerTokenRequest() {
	control := http.NewResponseController(c.w)
	_ = control.SetReadDeadline(time.Now().Add(progressTimeout))
	asked, size, err := readTokenBody(c.in.Body)
	c.record.RequestBytes = size
	switch {
	case errors.Is(err, errTokenBodyForm), errors.Is(err, errTokenBodyLarge):
		c.refuse(&failed{problem: &problemTokenRequest, outcome: NotSent, cause: err})
		return
	case err != nil:
		c.fail(bodyProblem(err, NotSent))
		return
	}
	_ = control.SetReadDeadline(time.Time{})
	selected, refusal := c.view.Grant(c.in.Header, c.arrival, tokencache.GrantType(asked.GrantType), asked.EntityUserID)
	if refusal != identity.None {
		c.refuse(notSent(refusalProblem(refusal)))
		return
	}
	answer := []byte(`{"access_token":"` + c.handler.handles.Make(selected) + `","expires_in":` + strconv.Itoa(handleSeconds) + `,"token_type":"Bearer"}`)
	ownJSON(c.w.Header(), len(answer))
	c.record.Status, c.record.Origin = http.StatusOK, OriginProxy
	c.w.WriteHeader(http.StatusOK)
	n, _ := c.w.Write(answer) //nolint:gosec // JSON, and of the request only that it asked: a handle is base64
	c.record.ResponseBytes = int64(n)
}
