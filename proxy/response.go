package proxy

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// respond passes upstream's response on, with immediate flush. If it cannot
// be passed on whole, it panics with http.ErrAbortHandler: a clean end would
// make a truncated response look complete.
func (c *call) respond(response *http.Response) {
	followed := false
	defer func() {
		if !followed {
			_ = response.Body.Close()
		}
	}()
	w, record, closeAfter := c.w, &c.record, c.body.unfinished()
	record.Status, record.Origin = response.StatusCode, OriginUpstream
	record.UpstreamRequestID = safeID(response.Header.Get("X-Request-Id"))

	header := w.Header()
	listed := connectionFields(response.Header["Connection"])
	for name, values := range response.Header {
		if !keptHere(name) && !listed[name] {
			header[name] = values
		}
	}
	if isWrite(c.in.Method) {
		c.settleHead(response)
	}
	if record.UpstreamRequestID != "" && record.UpstreamRequestID != record.RequestID {
		header["X-Monite-Proxy-Upstream-Request-Id"] = c.value(valueUpstreamID, record.UpstreamRequestID)
	}
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil // or net/http guesses one
	}
	for _, name := range [...]string{"Location", "Content-Location"} {
		if at := header.Get(name); at != "" {
			if at = c.underPrefix(c.handler.ownLocation(at)); at == "" {
				header.Del(name)
			} else {
				header.Set(name, at)
			}
		}
	}
	if links := header["Link"]; len(links) > 0 {
		c.pointBack(header, links)
	}
	if response.StatusCode != http.StatusNotModified { // that would change what the app has stored
		guardFromCaches(header)
		guardFromPages(header)
	}
	now := time.Now()
	_ = http.NewResponseController(w).SetWriteDeadline(now.Add(progressTimeout))
	if closeAfter {
		header.Set("Connection", "close")
	}
	c.setTiming(now)
	c.setExplanation()
	c.sayKeepAlive()
	respell(header, c.trace.FieldNames)
	w.WriteHeader(response.StatusCode)
	if response.Body != http.NoBody && (response.ContentLength < 0 || closeAfter) {
		// A stream may begin with a pause, and the app may wait for its head.
		_ = http.NewResponseController(w).Flush()
	}
	n, err := copyFlushing(w, response, now)
	record.ResponseBytes = n
	gone := c.Err() != nil // before the app has all of it: afterwards it may go
	if err == nil && c.claim != nil && response.ContentLength >= 0 {
		err = http.NewResponseController(w).Flush() // whether the app takes it shows now
	}
	if c.claim != nil {
		followed = c.settleBody(response, err != nil || gone)
	}
	if err != nil {
		record.Aborted, record.Err = true, err
		resetIfUndelimited(c.in, response.ContentLength)
		panic(http.ErrAbortHandler)
	}
	if closeAfter {
		_ = http.NewResponseController(w).Flush() // before what is left of the upload is waited for
	}
}

// keptHere reports whether a field of a response does not reach the app: those of
// the connection, those that would change what a browser or another client does
// with this host, and those by which upstream could speak in our name.
func keptHere(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Set-Cookie", "Set-Cookie2", "Alt-Svc", "Strict-Transport-Security", "Public-Key-Pins",
		"Public-Key-Pins-Report-Only", "Clear-Site-Data", "Nel", "Report-To", "Reporting-Endpoints", "Refresh",
		"X-Request-Id", headerTiming:
		return true
	}
	return strings.HasPrefix(name, "Access-Control-") || strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "X-Monite-Proxy-")
}

// ownJSON sets the fields of a response that is made here.
func ownJSON(header http.Header, length int) {
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(length))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
}

// guardFromCaches says what upstream left unsaid. For upstream the Authorization
// field makes the response private (RFC 9111 section 3.5). The app's request has
// none, so a cache on its side would have no reason to hold back.
func guardFromCaches(header http.Header) {
	if _, ok := header["Cache-Control"]; !ok {
		header["Cache-Control"] = noStore
	}
	if _, ok := header["X-Content-Type-Options"]; !ok {
		header["X-Content-Type-Options"] = noSniff
	}
}

var noStore, noSniff = []string{"no-store"}, []string{"nosniff"}

// connectionFields returns the fields that upstream's Connection names: they
// end here too (RFC 9110 section 7.6.1).
func connectionFields(values []string) map[string]bool {
	var fields map[string]bool
	for _, value := range values {
		if value == "keep-alive" || value == "close" { // what nearly all send; the first goes no further anyway
			continue
		}
		for option := range strings.SplitSeq(value, ",") {
			name := http.CanonicalHeaderKey(strings.Trim(option, " \t"))
			// What frames or describes the response is not upstream's to remove.
			if name == "" || name == "Close" || name == "Content-Length" || name == "Content-Type" || name == "Content-Encoding" {
				continue
			}
			if fields == nil {
				fields = map[string]bool{}
			}
			fields[name] = true
		}
	}
	return fields
}

// ownLocation points a reference to upstream back at us, as a path: the app
// would otherwise go to upstream itself, without a token. The scheme does not
// count: behind its TLS gateway upstream may think that it speaks plain http.
func (h *Handler) ownLocation(reference string) string {
	at, err := url.Parse(reference)
	if err != nil || at.Host == "" || !strings.EqualFold(at.Host, h.config.Origin.Host) && !strings.EqualFold(at.Hostname(), h.config.Origin.Host) {
		return reference
	}
	// By cutting, not by printing the parsed URL: the rest keeps its bytes.
	_, rest, _ := strings.Cut(reference, "//")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[i:]
	} else {
		rest = ""
	}
	// "//host" would be another host again, and some take a backslash for a slash.
	return "/" + strings.TrimLeft(rest, `/\`)
}

// underPrefix puts the path prefix of a named identity back on a reference to
// here: without it the app would follow as the default identity. A reference whose
// ".." would escape the prefix is resolved first. A reference that clients resolve
// differently is dropped: "".
func (c *call) underPrefix(reference string) string {
	if c.arrival.Prefix == nil || reference == "" {
		return reference
	}
	at, err := url.Parse(reference)
	switch {
	case err != nil, strings.Contains(strings.ToLower(reference), "%2e"), strings.ContainsRune(reference, '\\'):
		return ""
	case at.Host == "" && (at.Scheme == "http" || at.Scheme == "https"): // "http:/v1/x" is here, to some
		return ""
	case at.Scheme != "" || at.Host != "" || at.Path == "" || strings.HasPrefix(reference, "//"):
		return reference
	}
	if reference[0] != '/' || strings.Contains(reference, "..") {
		base, err := url.Parse(c.path)
		if err != nil {
			return ""
		}
		reference = base.ResolveReference(at).String()
	}
	return c.arrival.Prefix.PathPrefix + reference
}

// safeID keeps upstream's request id out of our log and header if it is odd.
func safeID(id string) string {
	if !isID(id) {
		return ""
	}
	return id
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyFlushing copies the body and flushes what has arrived while more is to come. A
// full response in one read needs no flush: net/http sends it at the end. touched is
// the time at which the write deadline was moved.
func copyFlushing(w http.ResponseWriter, response *http.Response, touched time.Time) (total int64, err error) {
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	control := http.NewResponseController(w)
	for {
		n, readErr := response.Body.Read(buffer[:])
		if n > 0 {
			if now := time.Now(); now.Sub(touched) > progressTimeout/16 {
				touched = now
				_ = control.SetWriteDeadline(now.Add(progressTimeout))
			}
			written, err := w.Write(buffer[:n])
			total += int64(written)
			if err != nil {
				return total, err
			}
		}
		switch {
		case readErr == io.EOF:
			return total, nil
		case readErr != nil:
			return total, readErr
		case total != response.ContentLength:
			if err := control.Flush(); err != nil {
				return total, err
			}
		}
	}
}
