package wiretest

import (
	"fmt"
	"slices"
	"strings"
)

// Head is a request line and fields, without the blank line.
func Head(method, target string, fields ...string) string {
	var b strings.Builder
	b.WriteString(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n")
	for _, field := range fields {
		b.WriteString(field + "\r\n")
	}
	return b.String()
}

// Get is a request without a body.
func Get(target string, fields ...string) string { return Head("GET", target, fields...) + "\r\n" }

// Post is a request with a body and its Content-Length.
func Post(target, body string, fields ...string) string {
	framed := append(slices.Clip(fields), fmt.Sprintf("Content-Length: %d", len(body)))
	return Head("POST", target, framed...) + "\r\n" + body
}

// Chunked is a body of chunks, and its end.
func Chunked(pieces ...string) string {
	var b strings.Builder
	for _, piece := range pieces {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(piece), piece)
	}
	return b.String() + "0\r\n\r\n"
}

// OKEmpty is a good response without content.
const OKEmpty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// OK is a good response with a body.
func OK(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
