package monitetest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// doc is a JSON object.
type doc = schema.Doc

// answer is Monite's response as a value: a fault may still distort it.
type answer struct {
	status int
	header http.Header
	body   []byte
	stream func(w http.ResponseWriter, r *http.Request) // instead of body
}

func (a *answer) headers() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (a *answer) set(name, value string) *answer {
	a.headers().Set(name, value)
	return a
}

func jsonAnswer(status int, value any) *answer {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		panic("monitetest: answer is not JSON: " + err.Error())
	}
	a := &answer{status: status, body: bytes.TrimSuffix(buf.Bytes(), []byte("\n"))}
	return a.set("Content-Type", "application/json")
}

// failure is Monite's error envelope.
func failure(status int, kind, message string) *answer {
	return jsonAnswer(status, doc{"error": doc{"type": kind, "message": message}})
}

func notFound(what string) *answer {
	return failure(http.StatusNotFound, "not_found", "Object type "+what+" not found")
}

// problem is one entry of the list that FastAPI sends with 422.
type problem = schema.Problem

func invalid(problems ...problem) *answer {
	return jsonAnswer(http.StatusUnprocessableEntity, map[string][]problem{"detail": problems})
}

func missing(loc ...any) problem { return schema.Missing(loc...) }

// streamed sends the pieces one by one, each flushed.
func streamed(pieces []string, pause time.Duration) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		for i, piece := range pieces {
			if i > 0 && !sleep(r.Context(), pause) {
				return
			}
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func (a *answer) writeTo(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	maps.Copy(h, a.headers())
	if a.stream != nil {
		w.WriteHeader(a.status)
		a.stream(w, r)
		return
	}
	if a.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// isJSON says whether the media type is application/json; parameters do not
// matter, and neither does the case.
func isJSON(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "application/json")
}
