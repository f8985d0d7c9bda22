package admin

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

// Writes is the part of the journal of writes that the admin listener uses.
type Writes interface {
	// Unknown lists writes of unknown outcome, the latest first, at most limit.
	Unknown(limit int) []writes.Record
	Stats() writes.Stats
	// Forget lets go of what is remembered of a request. It reports whether there was
	// anything.
	Forget(requestID string) bool
}

// listedWrites bounds the list of writes of unknown outcome.
const listedWrites = 1000

// WriteStatus is one write of unknown outcome: upstream may have executed it.
type WriteStatus struct {
	At        time.Time `json:"at"` // when it was sent
	RequestID string    `json:"request_id"`
	Method    string    `json:"method"`
	Route     string    `json:"route"`
	Status    int       `json:"status,omitempty"` // upstream's; 0: it did not respond
	Keyed     bool      `json:"idempotency_key"`
	RepeatOf  string    `json:"repeat_of,omitempty"`
}

// unknownWrites is the list for an operator after an outage.
func (h *Handler) unknownWrites(status *Status) {
	status.UnknownWrites = []WriteStatus{}
	if h.config.Writes == nil {
		return
	}
	status.UnknownWritesTotal = h.config.Writes.Stats().Unknown
	for _, r := range h.config.Writes.Unknown(listedWrites) {
		status.UnknownWrites = append(status.UnknownWrites, WriteStatus{
			At: r.Begun.UTC(), RequestID: r.RequestID, Method: r.Method, Route: r.Route, Status: r.Status, Keyed: r.Keyed, RepeatOf: r.RepeatOf,
		})
	}
	if h.config.Followed != nil {
		status.FollowedWrites = h.config.Followed()
	}
}

// forget serves POST /writes/{request_id}/forget.
func (h *Handler) forget(w http.ResponseWriter, r *http.Request) {
	id, err := url.PathUnescape(chi.URLParam(r, "request_id"))
	if err != nil || h.config.Writes == nil || !h.config.Writes.Forget(id) {
		http.Error(w, "no write with this request id is remembered here, or it is still under way", http.StatusNotFound)
		return
	}
	if h.config.StatusPage && strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/", http.StatusSeeOther) // the button of the page
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"result": "forgotten"})
}
