package proxy

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

const (
	// tokenPath is that of Monite's own token endpoint, so that a backend changes a
	// base URL and nothing else.
	tokenPath = "/v1/auth/token"
	// maxTokenRequest bounds the body of a request for a token, in bytes. A real one
	// has 200.
	maxTokenRequest = 16 << 10
	// handleSeconds is what an app is told of the life of a handle. A handle has no
	// end, so this is true, and an app that asks again gets another one.
	handleSeconds = 24 * 60 * 60
)

// isTokenRequest: the one request that is answered here, if handles are on. path
// is without the prefix of an identity.
func isTokenRequest(method, path string) bool {
	return method == http.MethodPost && path == tokenPath
}

// answerToken answers POST /v1/auth/token as Monite would, with a handle in the
// place of the token.
func (h *Handler) answerToken(w http.ResponseWriter, in *http.Request, by way, record *Record) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(progressTimeout))
	asked, size, err := readTokenBody(in.Body)
	record.RequestBytes = size
	switch {
	case errors.Is(err, errTokenBodyForm), errors.Is(err, errTokenBodyLarge):
		writeProblem(w, in, &failed{problem: &problemTokenRequest, outcome: NotSent, cause: err}, record)
		return
	case err != nil:
		writeProblem(w, in, classify(bodyProblem(err, NotSent), record), record)
		return
	}
	_ = control.SetReadDeadline(time.Time{})
	selected, problem := record.view.grant(in.Header, by, tokencache.GrantType(asked.GrantType), asked.EntityUserID)
	if problem != nil {
		writeProblem(w, in, refuse(problem), record)
		return
	}
	answer := []byte(`{"access_token":"` + h.handles.make(selected) + `","expires_in":` + strconv.Itoa(handleSeconds) + `,"token_type":"Bearer"}`)
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(answer)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	record.Status, record.Origin, record.GrantType = http.StatusOK, OriginProxy, ""
	w.WriteHeader(http.StatusOK)
	n, _ := w.Write(answer) //nolint:gosec // JSON, and of the request only that it asked: a handle is base64
	record.ResponseBytes = int64(n)
}

// grant decides what a request for a token may have: of a named identity only
// its own grant, of the default one what its headers could select.
func (v *view) grant(header http.Header, by way, grant tokencache.GrantType, user string) (selection, *problem) {
	if problem := checkTwins(header); problem != nil {
		return selection{}, problem
	}
	switch grant {
	case tokencache.ClientCredentials:
		if user != "" {
			return selection{}, &problemTokenRequest
		}
	case tokencache.EntityUser:
		id, ok := ids.Parse(user)
		if !ok {
			return selection{}, &problemTokenRequest
		}
		user = id
	default:
		return selection{}, &problemTokenRequest
	}
	by.handle = selection{} // that of an old token says nothing of a new one
	named, problem := v.selectNamed(header, by)
	if problem != nil {
		return selection{}, problem
	}
	if named != nil {
		if problem := named.checkUser(header); problem != nil {
			return selection{}, problem
		}
		switch {
		case named.Grant.Type != grant:
			return selection{}, &problemGrant
		case named.Grant.EntityUserID != user:
			return selection{}, &problemEntityUser
		}
		return selection{handleNamed, named.Name}, nil
	}
	selected := selection{handlePartner, ""}
	if grant == tokencache.EntityUser {
		selected = selection{handleUser, user}
	} else if v.Default.Type != tokencache.ClientCredentials {
		return selection{}, &problemGrant // it would be a promotion
	}
	_, problem = v.selectUser(header, selected)
	return selected, problem
}
