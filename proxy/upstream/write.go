package upstream

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// smallBody is the largest body that leaves in one write with the head.
const smallBody = 64 << 10

type bodyKind int

const (
	noBody     bodyKind = iota
	bodySmall           // in memory: one write with the head, no goroutine
	bodyLength          // streamed, with a Content-Length
	bodyChunks          // streamed, chunked
)

// sized marks a body that is in memory: Len is the number of unread bytes, and
// Read does not block. *bytes.Reader and *bytes.Buffer have it; a wrapper that
// adds Close must keep it (io.NopCloser hides it).
type sized interface{ Len() int }

// frame decides how the body is framed. Nothing of this comes from the header.
func frame(req *http.Request) (bodyKind, int64, error) {
	n := req.ContentLength
	if req.Body == nil || req.Body == http.NoBody {
		if n > 0 {
			return noBody, 0, errLengthNoBody
		}
		return noBody, 0, nil
	}
	if body, ok := req.Body.(sized); ok && n >= 0 {
		have := int64(body.Len())
		if n == 0 { // net/http: 0 with a body means unknown; here it is known
			n = have
		}
		switch {
		case have > n:
			return noBody, 0, errBodyTooLong
		case have < n:
			return noBody, 0, errBodyTooShort
		case n <= smallBody:
			return bodySmall, n, nil
		}
	}
	if n > 0 {
		return bodyLength, n, nil
	}
	return bodyChunks, -1, nil
}

// appendHead writes request line, fields and the blank line. Errors name no
// value.
func appendHead(b []byte, req *http.Request, kind bodyKind, length int64) ([]byte, error) {
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	switch {
	case method == http.MethodConnect:
		return nil, errConnectMethod
	case !httpguts.ValidHeaderFieldName(method): // both are tokens
		return nil, errMethod
	}
	b = append(append(b, method...), ' ')
	b, err := appendTarget(b, req)
	if err != nil {
		return nil, err
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	if host == "" || !httpguts.ValidHostHeader(host) {
		return nil, errHost
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(append(b, host...), "\r\n"...)
	if b, err = appendFields(b, req.Header); err != nil {
		return nil, err
	}
	return append(appendFraming(b, method, req.Close, kind, length), "\r\n"...), nil
}

func appendFraming(b []byte, method string, closing bool, kind bodyKind, length int64) []byte {
	if closing {
		b = append(b, "Connection: close\r\n"...)
	}
	switch kind {
	case bodyChunks:
		return append(b, "Transfer-Encoding: chunked\r\n"...)
	case noBody, bodySmall, bodyLength:
		// RFC 9110, 8.6: a method that anticipates content says that there is none.
		if length > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
			b = append(b, "Content-Length: "...)
			b = append(strconv.AppendInt(b, length, 10), "\r\n"...)
		}
	}
	return b
}

// appendTarget takes the path byte for byte from URL.Opaque, if set.
func appendTarget(b []byte, req *http.Request) ([]byte, error) {
	path := req.URL.Opaque
	if path == "" {
		if path = req.URL.EscapedPath(); path == "" {
			path = "/"
		}
	}
	// Origin form only (RFC 9112, 3.2.1): an absolute form would let the request
	// choose a host after all.
	if path[0] != '/' || !plainTarget(path) || !plainTarget(req.URL.RawQuery) {
		return nil, errTarget
	}
	b = append(b, path...)
	if req.URL.ForceQuery || req.URL.RawQuery != "" {
		b = append(append(b, '?'), req.URL.RawQuery...)
	}
	return b, nil
}

func plainTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func appendFields(b []byte, header http.Header) ([]byte, error) {
	for name, values := range header {
		if ownField(name) {
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("invalid field name %q", shortened(name))
		}
		for _, value := range values {
			if !plain(value) {
				return nil, fmt.Errorf("invalid field value %q", shortened(name))
			}
			b = append(append(b, name...), ": "...)
			b = append(append(b, value...), "\r\n"...)
		}
	}
	return b, nil
}

// shortened is a name for an error, which never holds a value.
func shortened(name string) string { return name[:min(len(name), 64)] }

// ownField reports the fields that belong to this connection and not to the
// message (RFC 9110, 7.6.1), or that are derived from the request's fields.
// The map may hold any spelling.
func ownField(name string) bool {
	switch len(name) {
	case 2:
		return strings.EqualFold(name, "Te")
	case 4:
		return strings.EqualFold(name, "Host")
	case 6:
		return strings.EqualFold(name, "Expect")
	case 7:
		return strings.EqualFold(name, "Trailer") || strings.EqualFold(name, "Upgrade")
	case 10:
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case 14:
		return strings.EqualFold(name, "Content-Length")
	case 16:
		return strings.EqualFold(name, "Proxy-Connection")
	case 17:
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// appendSmallBody reads a body of length bytes that is in memory.
func appendSmallBody(b []byte, body io.Reader, length int64) ([]byte, error) {
	start := len(b)
	end := start + int(length)
	// One byte more than announced, to see that the body ends there.
	b = slices.Grow(b, int(length)+1)
	for {
		n, err := body.Read(b[len(b) : end+1])
		b = b[:len(b)+n]
		switch {
		case len(b) > end:
			return nil, errBodyTooLong
		case err == io.EOF && len(b) < end: //nolint:errorlint // io.Reader returns it bare
			return nil, errBodyTooShort
		case err == io.EOF: //nolint:errorlint // io.Reader returns it bare
			return b, nil
		case err != nil:
			return nil, err
		case n == 0:
			return nil, io.ErrNoProgress
		}
	}
}

// buffers holds what one write needs: a head with a small body, or a piece of
// a streamed body. Nothing is kept in a buffer between two uses.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func putBuffer(b *[]byte) {
	if cap(*b) > smallBody+readBuffer {
		return
	}
	*b = (*b)[:0]
	buffers.Put(b)
}
