package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/confine"
	"github.com/monite-proxy/monite-proxy/internal/listen"
	"github.com/monite-proxy/monite-proxy/internal/logs"
)

// serve runs the sidecar until a signal, and returns the exit code.
func serve(stderr io.Writer) int {
	started := time.Now()
	exposed := confine.NoDumps() // before a secret is read
	// A reader of our log that goes away must not take the process with it.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	tty := openTerminal()
	// Handled to the very end: by default SIGHUP ends the process.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)

	cfg, err := config.Load()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	s, closeLogs, code := open(cfg, stderr, started)
	defer closeLogs()
	if s == nil {
		return code
	}
	if exposed != nil {
		s.log.Warn().Err(exposed).Msg("core dumps and tracing could not be turned off")
	}
	if err := s.confine(); err != nil {
		s.log.Error().Err(err).Msg("cannot start")
		s.closeListeners()
		return exitFailure
	}
	s.terminal = tty
	if forPeople(cfg, stderr) {
		_, _ = s.lines.Write([]byte(s.banner()))
	}
	return s.run(signals, hangups)
}

// open makes a sidecar with open listeners, and nothing runs yet. Without one (nil)
// code says how the process ends.
func open(cfg *config.Config, stderr io.Writer, started time.Time) (s *sidecar, closeLogs func(), code int) {
	limitMemory()
	lines := logs.Start(stderr, nil)
	logger, err := logs.New(cfg, lines)
	if err != nil {
		return nil, lines.Close, badConfiguration(stderr, err)
	}
	audit, err := logs.OpenAudit(cfg, lines, logger)
	if err != nil {
		return nil, lines.Close, badConfiguration(stderr, err)
	}
	closeLogs = func() { audit.Close(); lines.Close() }
	s = newSidecar(cfg, logger, lines, audit, started)
	if err := s.listen(); err != nil {
		logger.Error().Err(err).Msg("cannot listen" + portHint(err))
		return nil, closeLogs, exitFailure
	}
	return s, closeLogs, exitOK
}

// portHint says what to do where another program has the port.
func portHint(err error) string {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ""
	}
	return ": another program has this port; stop it, or set the variable to another port (0 takes a free one)"
}

// listen opens every listener, or none. The data listener comes first: the
// process that the admin listener tells of must be the one that apps reach.
func (s *sidecar) listen() (err error) {
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	cfg := s.cfg
	if s.data.listener, err = listen.Open(cfg.Listen, s.appOptions(cfg.Listen, cfg.SocketMode)); err != nil {
		return fmt.Errorf("MONITE_LISTEN_ADDR: %w", err)
	}
	// The admin socket is for this user alone.
	if s.admin.listener, err = listen.Open(cfg.Admin, listen.Options{}); err != nil {
		return fmt.Errorf("MONITE_ADMIN_ADDR: %w", err)
	}
	if err = s.named.Listen(); err != nil {
		return err
	}
	if s.vend.server != nil {
		if s.vend.listener, err = listen.Open(cfg.Vend, s.vendOptions()); err != nil {
			return fmt.Errorf("MONITE_VEND_ADDR: %w", err)
		}
	}
	return listen.Unclaimed()
}

func (s *sidecar) closeListeners() {
	for _, open := range s.endpoints() {
		if open.listener != nil {
			_ = open.listener.Close()
		}
	}
	s.named.Close()
}
