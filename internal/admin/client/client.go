package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
)

// Client asks the admin listener of the running sidecar.
type Client struct{ http *http.Client }

// Another program may listen there.
const (
	maxRead  = 16 << 20 // bytes that are read of a response
	maxShown = 4 << 10  // and that are shown to people
)

// New finds the admin listener by MONITE_ADMIN_ADDR, as the sidecar does.
func New() (*Client, error) {
	listen, err := config.AdminAddr()
	if err != nil {
		return nil, err
	}
	network, address := listen.DialAddress()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	return &Client{&http.Client{Transport: transport, Timeout: 3 * time.Second}}, nil
}

// Ask returns the body of the response, and an error unless its status is 2xx. The
// body of any other status is made fit for people: see Shown.
func (c *Client) Ask(ctx context.Context, method, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, nil)
	if err != nil {
		return "", err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return "", fmt.Errorf("no response from the admin listener (MONITE_ADMIN_ADDR): %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxRead))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(body))
	if response.StatusCode/100 == 2 {
		return text, nil
	}
	if text == "" {
		text = "the admin listener (MONITE_ADMIN_ADDR) responds with " + response.Status
	}
	text = Shown(text)
	return text, errors.New(text)
}

// Runs reports whether a monite-proxy responds on the admin listener, ready or not.
func Runs(ctx context.Context) bool {
	c, err := New()
	if err != nil {
		return false
	}
	text, _ := c.Ask(ctx, http.MethodGet, "/readyz?verbose") // an error if it is not ready
	return strings.HasPrefix(text, "[+] ") || strings.HasPrefix(text, "[-] ")
}

// Shown makes a text from the network fit for a terminal: short, and without
// control bytes.
func Shown(text string) string {
	cut := ""
	if len(text) > maxShown {
		text, cut = text[:maxShown], " [...]"
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = TermSafe(strings.TrimSuffix(line, "\r"))
	}
	return strings.Join(lines, "\n") + cut
}

// TermSafe keeps a text from the network from controlling the terminal: a
// character that is not printable ASCII becomes a question mark.
func TermSafe(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
