package proxy

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

// respondAgain responds with what was kept of an earlier response.
func (c *call) respondAgain(kept *writes.Response) {
	response := &http.Response{StatusCode: kept.Status, Header: http.Header{}, Body: http.NoBody, ContentLength: int64(len(kept.Body))}
	maps.Copy(response.Header, kept.Fields)
	if len(kept.Body) > 0 {
		response.Header["Content-Length"] = []string{strconv.Itoa(len(kept.Body))}
		response.Body = io.NopCloser(bytes.NewReader(kept.Body))
	}
	c.w.Header().Set(headerReplayed, "true")
	c.trace.FieldNames = keptNames
	c.respond(response)
}

// replayedFields are those of a response that are sent again: what its body is, and
// what the app goes by.
var replayedFields = [...]string{
	"Content-Type", "Content-Encoding", "Content-Language", "Content-Location", "Content-Disposition", "Location", "Etag", "Last-Modified", "X-Request-Id",
}

// keptNames are those of replayedFields that are not spelt in the canonical form (RFC
// 9110): how upstream spelt them is not kept.
const keptNames = "Etag:ETag"

// copied is a response body of which a copy is kept as it is read.
type copied struct {
	io.ReadCloser
	status int
	fields map[string][]string
	limit  int
	text   []byte // nil once it is larger than limit
	large  bool
	err    error // how it ended; nil: it has not, as far as was read
}

// newCopied puts itself in the place of the response's body.
func newCopied(response *http.Response, limit int) *copied {
	k := &copied{ReadCloser: response.Body, status: response.StatusCode, limit: limit, fields: map[string][]string{}}
	for _, name := range replayedFields {
		if values := response.Header[name]; len(values) > 0 {
			for _, value := range values { // not the head that they are cut out of
				k.fields[name] = append(k.fields[name], strings.Clone(value))
			}
		}
	}
	switch {
	case response.Body == http.NoBody: // which others look for
		k.err = io.EOF
		return k
	case response.ContentLength > int64(limit):
		k.large = true
	case response.ContentLength > 0:
		k.text = make([]byte, 0, response.ContentLength)
	}
	response.Body = k
	return k
}

func (k *copied) Read(p []byte) (int, error) {
	n, err := k.ReadCloser.Read(p)
	switch {
	case k.large:
	case len(k.text)+n > k.limit:
		k.large, k.text = true, nil
	default:
		k.text = append(k.text, p[:n]...)
	}
	if err != nil {
		k.err = err
	}
	return n, err
}

func (k *copied) whole() bool { return k.err == io.EOF } //nolint:errorlint // a body's end is bare

// response is nil if it is too large to be kept.
func (k *copied) response() *writes.Response {
	if k.large {
		return nil
	}
	return &writes.Response{Status: k.status, Fields: k.fields, Body: k.text}
}
