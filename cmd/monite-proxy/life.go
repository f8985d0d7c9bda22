package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/monite-proxy/monite-proxy/internal/listen"
)

// endpoint is a server and the listener whose connections it gets.
type endpoint struct {
	server   listen.Server
	listener *listen.Listener
}

// endpoints are those that the configuration alone decides; named identities
// have others.
func (s *sidecar) endpoints() []endpoint {
	all := []endpoint{s.data, s.admin}
	if s.vend.server != nil {
		all = append(all, s.vend)
	}
	return all
}

// addresses are those that are open, for /status.
func (s *sidecar) addresses() map[string][]string {
	all := map[string][]string{"data": s.data.listener.Addresses(), "admin": s.admin.listener.Addresses()}
	if s.vend.server != nil {
		all["vend"] = s.vend.listener.Addresses()
	}
	return all
}

// run is the life of the sidecar, from open listeners to the exit code.
func (s *sidecar) run(signals, hangups <-chan os.Signal) int {
	s.sayHello()
	// One failure is enough to stop, and run reads only the first. A server that
	// fails later must not wait for a reader, because run waits for all servers.
	failed := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, e := range s.endpoints() {
		running.Go(func() {
			if err := e.listener.Serve(e.server); err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	running.Go(func() { _ = s.cache.Run(ctx) }) // mints the first token
	running.Go(func() { _ = s.watcher.Run(ctx) })
	running.Go(func() { _ = s.rotation.Run(ctx) })
	running.Go(func() { s.reloadOnHangup(ctx, hangups) })
	if s.traces != nil {
		running.Go(func() { _ = s.traces.Run(ctx) })
	}
	s.named.Serve(failed)
	running.Go(func() { s.named.Follow(ctx) })
	s.health.Listening.Store(true)
	running.Go(func() { s.notifyWhenReady(ctx) })
	running.Go(func() { giveBack(ctx) })

	code := s.untilEnd(signals, failed)
	go func() { // the one goroutine that run does not wait for: it ends the process
		<-signals
		s.log.Warn().Msg("second signal: stopping at once")
		s.hurried.Store(true)
		s.cutOff()
		s.audit.Close()
		s.lines.Close()
		os.Exit(exitFailure)
	}()

	_ = tellManager("STOPPING=1\nSTATUS=draining")
	s.health.Draining.Store(true)
	s.handler.Drain()
	if !s.drain() {
		code = exitFailure
	}
	stop() // the cache and the watchers; the traces, once what is left is exported
	s.upstream.CloseIdleConnections()
	s.admin.end(adminGrace)
	running.Wait()
	if s.hurried.Load() {
		code = exitFailure
	}
	s.log.Info().Int("exit_code", code).Msg("stopped")
	return code
}

// untilEnd waits for the reason to stop, and returns the exit code that it means.
func (s *sidecar) untilEnd(signals <-chan os.Signal, failed <-chan error) (code int) {
	select {
	case received := <-signals:
		s.log.Info().Str("signal", received.String()).Msg("draining")
	case <-s.quit:
		s.log.Info().Str("signal", "quit endpoint").Msg("draining")
	case <-s.hungUp:
		s.log.Info().Str("signal", "hangup: the terminal was closed").Msg("draining")
	case err := <-failed:
		s.log.Error().Err(err).Msg("listener failed")
		return exitFailure
	}
	return exitOK
}

// reloadOnHangup re-reads the secret files and the identities file at once on
// SIGHUP, and opens the audit file again. The SIGHUP of a terminal that closes
// means the end.
func (s *sidecar) reloadOnHangup(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if s.terminal.closed() {
				select {
				case s.hungUp <- struct{}{}:
				default: // said already
				}
				continue
			}
			if err := s.audit.Reopen(); err != nil {
				s.log.Error().Err(err).Msg("audit file cannot be reopened; the old one stays in use")
			}
			changed := s.watcher.Check()
			s.log.Info().Bool("changed", changed).Msg("secret files read again")
			if s.cfg.IdentitiesPath() != "" {
				changed := s.named.Reload()
				s.log.Info().Bool("changed", changed).Msg("identities file read again")
			}
		}
	}
}

func (s *sidecar) sayHello() {
	version, commit, goVersion := build()
	for _, warning := range s.cfg.Warnings {
		s.log.Warn().Msg(warning)
	}
	for _, e := range s.endpoints() {
		if warning := e.listener.Warning(); warning != "" {
			s.log.Warn().Str("socket", e.listener.Addr().String()).Msg(warning)
		}
	}
	line := s.log.Info().
		Str("version", version).Str("commit", commit).Str("go", goVersion).
		Str("environment", s.cfg.Environment).Str("upstream", s.cfg.Upstream.String()).
		Str("listen", fmt.Sprint(s.data.listener.Addr())).Str("admin", fmt.Sprint(s.admin.listener.Addr())).
		Str("grant_type", s.cfg.GrantType)
	for name, of := range map[string]endpoint{"listen_ipv6": s.data, "admin_ipv6": s.admin} {
		if all := of.listener.Addresses(); len(all) > 1 { // localhost
			line = line.Str(name, all[1])
		}
	}
	if s.vend.server != nil {
		line = line.Str("vend", fmt.Sprint(s.vend.listener.Addr()))
	}
	line.Msg("listening")
}
