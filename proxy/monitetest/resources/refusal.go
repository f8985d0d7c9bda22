package resources

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// Refusal is an error with Monite's response to it. Problems are sent as FastAPI's
// "detail", anything else in Monite's envelope.
type Refusal struct {
	Status        int
	Kind, Message string
	Problems      []schema.Problem
}

// Error returns the message.
func (r *Refusal) Error() string {
	if r.Message == "" && len(r.Problems) > 0 {
		return r.Problems[0].Msg
	}
	return r.Message
}

// Body returns the refusal as JSON.
func (r *Refusal) Body() []byte {
	var body any = map[string]any{"error": map[string]string{"type": r.Kind, "message": r.Message}}
	if len(r.Problems) > 0 {
		body = map[string]any{"detail": r.Problems}
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic("resources: refusal is not JSON: " + err.Error())
	}
	return text
}

func badRequest(message string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Kind: "bad_request", Message: message}
}

func notFound(what string) *Refusal {
	return &Refusal{Status: http.StatusNotFound, Kind: "not_found", Message: "Object type " + what + " not found"}
}

func invalid(problems ...schema.Problem) *Refusal {
	return &Refusal{Status: http.StatusUnprocessableEntity, Problems: problems}
}

// conflict is 409 where the operation publishes it, else 400.
func (c *call) conflict(message string) *Refusal {
	if slices.Contains(c.Op.Statuses, http.StatusConflict) {
		return &Refusal{Status: http.StatusConflict, Kind: "conflict", Message: message}
	}
	return badRequest(message)
}

// unknown refuses a reference in a body that leads nowhere: 404 where the
// operation publishes it, else 400, else 422.
func (c *call) unknown(what, id string, loc ...any) *Refusal {
	message := "Object type " + what + " with the id " + id + " not found"
	switch {
	case slices.Contains(c.Op.Statuses, http.StatusNotFound):
		return &Refusal{Status: http.StatusNotFound, Kind: "not_found", Message: message}
	case slices.Contains(c.Op.Statuses, http.StatusBadRequest):
		return badRequest(message)
	}
	return invalid(schema.Problem{Loc: loc, Msg: message, Type: "value_error.not_found"})
}
