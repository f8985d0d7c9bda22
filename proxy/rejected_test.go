package proxy

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func gzipped(text string) string {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return buf.String()
}

const expiredText = `{"error":{"message":"The token has been expired."}}`

var rejectedRows = []struct {
	name        string
	status      int
	contentType string
	encoding    string
	body        string
	noLength    bool
	want        string
}{
	{name: "401", status: 401, body: "x", want: "401"}, {name: "401 without body", status: 401, want: "401"}, {name: "401 HTML", status: 401, contentType: "text/html", body: "<p>", want: "401"},
	{name: "400 expired", status: 400, contentType: "application/json", body: expiredText, want: "expired"}, {name: "403 expired", status: 403, contentType: "application/json", body: expiredText, want: "expired"},
	{name: "upper case", status: 400, contentType: "application/json", body: strings.ToUpper(`{"x":1}`)[:0] + `{"error":{"message":"TOKEN EXPIRED"}}`, want: "expired"}, {name: "mixed case", status: 403, contentType: "application/json", body: `{"error":{"message":"Token Has Expired"}}`, want: "expired"},
	{name: "charset", status: 400, contentType: "application/json; charset=utf-8", body: expiredText, want: "expired"}, {name: "problem+json", status: 400, contentType: "application/problem+json", body: expiredText, want: "expired"},
	{name: "no length", status: 400, contentType: "application/json", body: expiredText, noLength: true, want: "expired"}, {name: "gzip", status: 400, contentType: "application/json", encoding: "gzip", body: gzipped(expiredText), want: "expired"},
	{name: "GZIP, no length", status: 403, contentType: "application/json", encoding: "GZIP", body: gzipped(expiredText), noLength: true, want: "expired"},
	{name: "plain 400", status: 400, contentType: "application/json", body: `{"error":{"message":"Bad Request"}}`}, {name: "plain 403", status: 403, contentType: "application/json", body: `{"error":{"message":"Forbidden"}}`},
	{name: "404 expired", status: 404, contentType: "application/json", body: expiredText}, {name: "409 expired", status: 409, contentType: "application/json", body: expiredText}, {name: "422 expired", status: 422, contentType: "application/json", body: expiredText},
	{name: "200 expired", status: 200, contentType: "application/json", body: expiredText}, {name: "500 expired", status: 500, contentType: "application/json", body: expiredText},
	{name: "not JSON by type", status: 400, contentType: "text/plain", body: expiredText}, {name: "no type", status: 400, body: expiredText}, {name: "not JSON by text", status: 400, contentType: "application/json", body: "expired"}, {name: "JSON cut", status: 400, contentType: "application/json", body: expiredText[:40]},
	{name: "elsewhere in the body", status: 400, contentType: "application/json", body: `{"error":{"message":"no","type":"expired"},"message":"expired"}`}, {name: "message no string", status: 400, contentType: "application/json", body: `{"error":{"message":["expired"]}}`}, {name: "error a string", status: 400, contentType: "application/json", body: `{"error":"expired"}`},
	{name: "array", status: 400, contentType: "application/json", body: `["expired"]`}, {name: "empty", status: 400, contentType: "application/json"}, {name: "null", status: 400, contentType: "application/json", body: "null"},
	{name: "huge", status: 400, contentType: "application/json", body: expiredText + strings.Repeat(" ", maxPeek)}, {name: "huge, no length", status: 400, contentType: "application/json", body: expiredText + strings.Repeat(" ", maxPeek), noLength: true},
	{name: "largest", status: 400, contentType: "application/json", body: expiredText + strings.Repeat(" ", maxPeek-len(expiredText)), want: "expired"}, {name: "largest, no length", status: 400, contentType: "application/json", body: expiredText + strings.Repeat(" ", maxPeek-len(expiredText)), noLength: true, want: "expired"},
	{name: "gzip bomb", status: 400, contentType: "application/json", encoding: "gzip", body: gzipped(strings.Repeat(" ", 10<<20) + expiredText)}, {name: "gzip that is none", status: 400, contentType: "application/json", encoding: "gzip", body: expiredText}, {name: "gzip cut", status: 400, contentType: "application/json", encoding: "gzip", body: gzipped(expiredText)[:30]},
	{name: "br", status: 400, contentType: "application/json", encoding: "br", body: "\x0b\x02\x80"},
}

// Whatever is found, the app gets the body whole, and it is closed once.
func TestRejectedKnowsARefusedToken(t *testing.T) {
	for _, c := range rejectedRows {
		closes := 0
		response := &http.Response{StatusCode: c.status, Header: http.Header{}, ContentLength: int64(len(c.body)), Body: &countingBody{Reader: iotest.OneByteReader(strings.NewReader(c.body)), closes: &closes}}
		if len(c.body) > 1000 {
			response.Body = &countingBody{Reader: strings.NewReader(c.body), closes: &closes}
		}
		if c.noLength {
			response.ContentLength = -1
		}
		if c.contentType != "" {
			response.Header.Set("Content-Type", c.contentType)
		}
		if c.encoding != "" {
			response.Header.Set("Content-Encoding", c.encoding)
		}
		if got := rejected(response); got != c.want {
			t.Errorf("%s: rejected = %q, want %q", c.name, got, c.want)
		}
		body, err := io.ReadAll(response.Body)
		if string(body) != c.body || err != nil {
			t.Errorf("%s: %d bytes are left, %v, want %d", c.name, len(body), err, len(c.body))
		}
		if _ = response.Body.Close(); closes != 1 {
			t.Errorf("%s: closed %d times", c.name, closes)
		}
	}
	t.Logf("%d rows", len(rejectedRows))
}

type countingBody struct {
	io.Reader
	closes *int
}

func (b *countingBody) Close() error { *b.closes++; return nil }

// A body that breaks while it is looked at breaks for the app too.
func TestRejectedPutsTheErrorBack(t *testing.T) {
	broken := errors.New("broken")
	response := &http.Response{StatusCode: 400, ContentLength: -1, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(io.MultiReader(strings.NewReader(expiredText), iotest.ErrReader(broken)))}
	if got := rejected(response); got != "" {
		t.Errorf("rejected = %q", got)
	}
	if body, err := io.ReadAll(response.Body); string(body) != expiredText || !errors.Is(err, broken) {
		t.Errorf("body = %q, %v", body, err)
	}
}

// What is looked into is unpacked up to a limit, whatever it would become.
func TestPackedBombIsUnpackedUpToALimit(t *testing.T) {
	var packed bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	block := make([]byte, 1<<20)
	for packed.Len() < maxPeek-4<<10 {
		_, _ = zip.Write(block)
		_ = zip.Flush()
	}
	_ = zip.Close()
	if packed.Len() > maxPeek {
		t.Fatalf("the bomb is %d bytes: too large to be looked into", packed.Len())
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 5 {
		response := &http.Response{
			StatusCode: 400, ContentLength: int64(packed.Len()), Body: io.NopCloser(bytes.NewReader(packed.Bytes())),
			Header: http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}},
		}
		if got := rejected(response); got != "" {
			t.Errorf("rejected = %q", got)
		}
		if body, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(body, packed.Bytes()) {
			t.Errorf("the answer came out as %d bytes, %v", len(body), err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 5; each > 2<<20 {
		t.Errorf("%d KiB for one answer of %d KiB", each>>10, packed.Len()>>10)
	}
}
