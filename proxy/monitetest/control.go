package monitetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
)

const controlPrefix = "/_sim/"

// serveControl is the surface for other processes. It needs no token and is
// neither counted nor recorded.
func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request) {
	var a *answer
	switch route := r.Method + " " + r.URL.Path[len(controlPrefix):]; route {
	case "GET healthz":
		a = jsonAnswer(http.StatusOK, doc{"status": "ok"})
	case "GET stats":
		a = jsonAnswer(http.StatusOK, s.Stats())
	case "GET requests":
		a = jsonAnswer(http.StatusOK, doc{"data": s.Requests()})
	case "GET faults":
		a = jsonAnswer(http.StatusOK, doc{"data": s.Faults()})
	case "POST faults":
		a = s.controlInject(r)
	case "DELETE faults":
		s.ClearFaults()
		a = done()
	case "POST revoke_all":
		s.RevokeAll()
		a = done()
	case "POST expire_all":
		s.ExpireAll()
		a = done()
	case "POST token_endpoint/down":
		s.SetTokenEndpointDown(true)
		a = done()
	case "POST token_endpoint/up":
		s.SetTokenEndpointDown(false)
		a = done()
	case "POST reset_stats":
		s.ResetStats()
		a = done()
	case "POST reset":
		s.Reset()
		a = done()
	default:
		a = failure(http.StatusNotFound, "not_found",
			"No "+r.Method+" "+r.URL.Path+"; see the documentation of the package monitetest")
	}
	a.writeTo(w, r)
}

func done() *answer { return jsonAnswer(http.StatusOK, doc{"status": "done"}) }

// controlInject takes one fault or an array of them.
func (s *Simulator) controlInject(r *http.Request) *answer {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return failure(http.StatusBadRequest, "bad_request", "read the body: "+err.Error())
	}
	body = bytes.TrimSpace(body)
	if !bytes.HasPrefix(body, []byte("[")) {
		body = append(append([]byte("["), body...), ']')
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	var faults []Fault
	if err := dec.Decode(&faults); err != nil {
		return failure(http.StatusBadRequest, "bad_request", err.Error())
	}
	if err := s.inject(faults); err != nil {
		return failure(http.StatusBadRequest, "bad_request", err.Error())
	}
	return jsonAnswer(http.StatusOK, doc{"data": s.Faults()})
}
