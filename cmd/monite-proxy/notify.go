package main

import (
	"context"
	"net"
	"os"
	"strings"
	"time"
)

// readyPoll is the interval at which readiness is checked for the service manager.
const readyPoll = 50 * time.Millisecond

// tellManager tells the service manager something, where it asked for that
// (Type=notify, sd_notify(3)). Elsewhere it does nothing.
func tellManager(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte(state))
	return err
}

// notifyWhenReady says READY once, with the first token, so that services ordered
// after this one find it working. Until then it says what is missing.
func (s *sidecar) notifyWhenReady(ctx context.Context) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	told := ""
	for {
		// X_ begins what a service manager does not know (sd_notify(3)); monite-sim does.
		state := "READY=1\nSTATUS=ready\nX_MONITE_BASE_URL=" + s.baseURL()
		ready, missing := s.health.Ready()
		if !ready {
			state = "STATUS=" + strings.ReplaceAll(missing[0], "\n", " ") // a line is a statement
		}
		if state != told {
			if err := tellManager(state); err != nil {
				s.log.Warn().Err(err).Msg("the service manager cannot be notified")
			}
		}
		if told = state; ready {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
