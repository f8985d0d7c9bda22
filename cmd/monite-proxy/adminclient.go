package main

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

// adminClient talks to the admin listener of the running sidecar, found by the
// same variable that the sidecar reads.
type adminClient struct{ http *http.Client }

// Whatever listens there may not be ours.
const (
	maxAdminAnswer = 16 << 20 // bytes that are read
	maxAdminText   = 4 << 10  // and that are shown to people
)

func newAdminClient() (*adminClient, error) {
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
	return &adminClient{&http.Client{Transport: transport, Timeout: 3 * time.Second}}, nil
}

// ask returns what the endpoint said, and an error unless it said yes. What it
// says besides yes is for people: see shownText.
func (c *adminClient) ask(ctx context.Context, method, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, nil)
	if err != nil {
		return "", err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return "", fmt.Errorf("no answer from the admin listener (MONITE_ADMIN_ADDR): %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAdminAnswer))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(body))
	if response.StatusCode/100 == 2 {
		return text, nil
	}
	if text == "" {
		text = "the admin listener (MONITE_ADMIN_ADDR) answers " + response.Status
	}
	text = shownText(text)
	return text, errors.New(text)
}

// shownText keeps what came over the network short, and from speaking to the
// terminal.
func shownText(text string) string {
	cut := ""
	if len(text) > maxAdminText {
		text, cut = text[:maxAdminText], " [...]"
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = plain(strings.TrimSuffix(line, "\r"))
	}
	return strings.Join(lines, "\n") + cut
}
