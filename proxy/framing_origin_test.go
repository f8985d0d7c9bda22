package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// echoed is one request as the origin of the framing tests saw it.
type echoed struct {
	target, body string
	whole        bool
}

// echoOrigin reads every request by a strict reading of its own, complains of
// what is not canonical, and answers with what it saw.
type echoOrigin struct {
	*wiretest.Origin
	mu         sync.Mutex // guards the next two
	seen       []echoed
	complaints []string
}

func newEchoOrigin(t testing.TB) *echoOrigin {
	e := &echoOrigin{}
	e.Origin = wiretest.Listen(t, nil, func(p *wiretest.Peer) {
		for {
			target, body, err := canonicalRequest(p.Reader)
			if target == "" && errors.Is(err, io.EOF) {
				return
			}
			var odd *notCanonical
			e.mu.Lock()
			e.seen = append(e.seen, echoed{target, body, err == nil})
			if errors.As(err, &odd) {
				e.complaints = append(e.complaints, odd.Error())
			}
			e.mu.Unlock()
			if err != nil {
				return
			}
			p.Say(answer(200, "text/plain", target+" "+body))
		}
	})
	return e
}

type notCanonical struct{ what string }

func (n *notCanonical) Error() string { return n.what }

// canonicalRequest reads one request and accepts one way to write it: CRLF, one
// Host, one Authorization, one entity, one framing field, plain chunks without
// extensions or trailers. It shares nothing with net/http.
func canonicalRequest(br *bufio.Reader) (target, body string, err error) {
	odd := func(format string, values ...any) error { return &notCanonical{fmt.Sprintf(format, values...)} }
	line := func() (string, error) {
		text, err := br.ReadString('\n')
		if err != nil {
			return "", err
		}
		text, found := strings.CutSuffix(text, "\r\n")
		if !found || strings.ContainsAny(text, "\r\x00") {
			return "", odd("line %q", text)
		}
		return text, nil
	}
	first, err := line()
	if err != nil {
		return "", "", err
	}
	words := strings.Split(first, " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" || !methodAllowed(words[0]) || !strings.HasPrefix(words[1], "/") {
		return first, "", odd("request line %q", first)
	}
	target = words[1]
	count := map[string]int{}
	length, chunked := 0, false
	for {
		field, err := line()
		if err != nil {
			return target, "", err
		}
		if field == "" {
			break
		}
		name, value, found := strings.Cut(field, ": ")
		if !found || name == "" || strings.ContainsAny(name, " \t:") {
			return target, "", odd("field %q", field)
		}
		plain := strings.NewReplacer("_", "-", ".", "-", "~", "-").Replace(strings.ToLower(name))
		count[plain]++
		switch plain {
		case "authorization":
			if !strings.HasPrefix(value, "Bearer tok-") {
				return target, "", odd("a credential that is not ours")
			}
		case "x-monite-entity-id":
			if value != entityA && value != entityB {
				return target, "", odd("entity %q", value)
			}
		case "content-length":
			if length, err = strconv.Atoi(value); err != nil || strconv.Itoa(length) != value || length < 0 {
				return target, "", odd("Content-Length %q", value)
			}
		case "transfer-encoding":
			if chunked = value == "chunked"; !chunked {
				return target, "", odd("Transfer-Encoding %q", value)
			}
		case "connection", "te", "trailer", "upgrade", "expect", "keep-alive", "proxy-connection", "http2-settings", "proxy-authorization", "cookie",
			"x-monite-entity-user-id", "x-monite-identity", "origin":
			return target, "", odd("field %q", name)
		}
	}
	for _, name := range []string{"host", "authorization", "x-monite-entity-id", "x-monite-version", "x-request-id"} {
		if count[name] != 1 {
			return target, "", odd("%s: %d times", name, count[name])
		}
	}
	if count["content-length"]+count["transfer-encoding"] > 1 {
		return target, "", odd("framed %d and %d times", count["content-length"], count["transfer-encoding"])
	}
	if !chunked {
		content := make([]byte, length)
		n, err := io.ReadFull(br, content)
		return target, string(content[:n]), err
	}
	var content strings.Builder
	for {
		text, err := line()
		if err != nil {
			return target, content.String(), err
		}
		size, err := strconv.ParseUint(text, 16, 32)
		if err != nil || strconv.FormatUint(size, 16) != text {
			return target, content.String(), odd("chunk size %q", text)
		}
		if _, err := io.CopyN(&content, br, int64(size)); err != nil {
			return target, content.String(), err
		}
		if end, err := line(); err != nil {
			return target, content.String(), err
		} else if end != "" {
			return target, content.String(), odd("after a chunk: %q", end)
		}
		if size == 0 {
			return target, content.String(), nil
		}
	}
}
