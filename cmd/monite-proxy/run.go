package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/internal/confine"
	"github.com/monite-proxy/monite-proxy/internal/trace"
	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/tokenendpoint"
)

// sidecar is everything that runs. newSidecar makes it, run walks through its life.
type sidecar struct {
	cfg       *config.Config
	log       zerolog.Logger
	lines     *logWriter // what log writes to
	audit     *audit
	cache     *tokencache.Cache
	upstream  *upstream.Transport
	mints     *upstream.Transport
	watcher   *secret.Watcher
	health    *admin.Health
	handler   *proxy.Handler
	data      server
	admin     *http.Server
	conns     connCount
	named     *identities
	quit      chan struct{} // the quit endpoint was called
	rotation  *tokenendpoint.Rotation
	listening [2]*listener // data, admin
	peers     refusedPeers
	vend      vend
	traces    *trace.Traces // nil: none are exported
}

// serve runs the sidecar until a signal, and returns the exit code.
func serve(stderr io.Writer) int {
	started := time.Now()
	putOffCollection()
	exposed := confine.NoDumps() // before a secret is read
	// A reader of our log that goes away must not take the process with it.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	// Never given back: by default SIGHUP ends the process, at its very end too.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)

	cfg, err := config.Load()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	limitMemory()
	lines := startLog(stderr, nil)
	defer lines.close()
	logger, err := newLogger(cfg, lines)
	if err != nil {
		return badConfiguration(stderr, err)
	}
	audit, err := newAudit(cfg, lines, logger)
	if err != nil {
		lines.close()
		return badConfiguration(stderr, err)
	}
	defer audit.close()
	s := newSidecar(cfg, logger, lines, audit, started)
	if err := s.listen(); err != nil {
		logger.Error().Err(err).Msg("cannot listen")
		return exitFailure
	}
	if exposed != nil {
		logger.Warn().Err(exposed).Msg("core dumps and tracing could not be switched off")
	}
	if err := s.confine(); err != nil {
		logger.Error().Err(err).Msg("cannot start")
		s.closeListeners()
		return exitFailure
	}
	return s.run(signals, hangups)
}

// listen opens both listeners. The data listener first: what it was told to
// protect must not be up without it.
func (s *sidecar) listen() error {
	for i, at := range []config.Listen{s.cfg.Listen, s.cfg.Admin} {
		options := listenOptions{} // the admin socket is for this user alone
		if i == 0 {
			options = s.appOptions(at, s.cfg.SocketMode)
		}
		opened, err := openListener(at, options)
		if err != nil {
			err = fmt.Errorf("%s: %w", [...]string{"MONITE_LISTEN_ADDR", "MONITE_ADMIN_ADDR"}[i], err)
			if i > 0 {
				_ = s.listening[0].Close()
			}
			return err
		}
		s.listening[i] = opened
	}
	err := s.named.listen()
	if err == nil && s.vend.server != nil {
		if s.vend.listener, err = openListener(s.cfg.Vend, s.vendOptions()); err != nil {
			err = fmt.Errorf("MONITE_VEND_ADDR: %w", err)
		}
	}
	if err == nil {
		err = unclaimed()
	}
	if err != nil {
		s.closeListeners()
		return err
	}
	return nil
}

func (s *sidecar) closeListeners() {
	for _, open := range s.listening {
		_ = open.Close()
	}
	s.named.closeDoors()
	if s.vend.listener != nil {
		_ = s.vend.listener.Close()
	}
}

// run is the life of the sidecar, from open listeners to the exit code.
func (s *sidecar) run(signals, hangups <-chan os.Signal) int {
	s.sayHello()
	// One failure is enough to stop. Who fails after it must not wait for a reader:
	// listeners of identities may be many, and run waits for all of them.
	failed := make(chan error, 1)
	serving := func(server server, on *listener) {
		if err := s.serveOn(server, on); err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { serving(s.data, s.listening[0]) })
	running.Go(func() { serving(s.admin, s.listening[1]) })
	if s.vend.server != nil {
		running.Go(func() { serving(s.vend.server, s.vend.listener) })
	}
	running.Go(func() { _ = s.cache.Run(ctx) }) // mints the first token
	running.Go(func() { _ = s.watcher.Run(ctx) })
	running.Go(func() { _ = s.rotation.Run(ctx) })
	running.Go(func() { s.reloadOnHangup(ctx, hangups) })
	if s.traces != nil {
		running.Go(func() { _ = s.traces.Run(ctx) })
	}
	s.named.serve(failed)
	running.Go(func() { s.named.follow(ctx) })
	s.health.Listening.Store(true)
	running.Go(func() { s.notifyWhenReady(ctx) })
	running.Go(func() { giveBack(ctx) })

	code := exitOK
	select {
	case received := <-signals:
		s.log.Info().Str("signal", received.String()).Msg("draining")
	case <-s.quit:
		s.log.Info().Str("signal", "quit endpoint").Msg("draining")
	case err := <-failed:
		s.log.Error().Err(err).Msg("listener failed")
		code = exitFailure
	}
	go func() { // the one goroutine that nobody waits for: it ends the process
		<-signals
		s.log.Warn().Msg("second signal: stopping at once")
		s.audit.close()
		s.lines.close()
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
	s.mints.CloseIdleConnections()
	s.shutdownAdmin()
	running.Wait()
	s.log.Info().Int("exit_code", code).Msg("stopped")
	return code
}

// server is net/http's, or proxy/strict's.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

func (s *sidecar) serveOn(server server, on *listener) error {
	defer close(on.left)
	err := server.Serve(on)
	if on.stopping.Load() || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// idleGrace is how long connections on which nothing is under way are kept open
// in a drain. An app may be sending its next request on one at this moment;
// answered, that request learns that the connection ends.
const idleGrace = time.Second

// drain lets every request end that was accepted. It reports false if some had
// to be cut off.
func (s *sidecar) drain() bool {
	begin := time.Now()
	time.Sleep(s.cfg.ShutdownDelay) // still serving: the way here may be known elsewhere
	var stopping, vending sync.WaitGroup
	vending.Go(s.vend.stop) // has a limit of its own
	defer vending.Wait()
	stopping.Go(s.named.stopAll)
	s.listening[0].stop()
	stopping.Wait()

	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	s.conns.waitUntilNone(ctx, idleGrace-time.Since(begin))
	defer s.named.cutOff()
	var allEnded bool
	stopping.Go(func() { allEnded = s.named.shutdown(ctx) })
	err := s.data.Shutdown(ctx)
	stopping.Wait()
	if err == nil && allEnded {
		return true
	}
	cut := s.handler.InFlight()
	_ = s.data.Close()
	if cut == 0 { // only connections that have sent no whole request
		return true
	}
	s.log.Error().Int64("requests", cut).Dur("drain_timeout", s.cfg.DrainTimeout).Msg("drain timed out, requests cut off")
	return false
}

func (s *sidecar) shutdownAdmin() {
	s.listening[1].stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.admin.Shutdown(ctx) != nil {
		_ = s.admin.Close()
	}
}

// reloadOnHangup re-reads the secret files and the identities file at once on
// SIGHUP, and opens the audit file again.
func (s *sidecar) reloadOnHangup(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if s.audit.file != nil {
				if err := s.audit.file.reopen(); err != nil {
					s.log.Error().Err(err).Msg("audit file cannot be opened again, the old one stays")
				}
			}
			changed := s.watcher.Check()
			s.log.Info().Bool("changed", changed).Msg("secret files read again")
			if s.cfg.IdentitiesPath() != "" {
				changed := s.named.reload()
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
	for _, at := range []config.Listen{s.cfg.Listen, s.cfg.Admin, s.cfg.Vend} {
		warnIfOpenToAll(s.log, at)
	}
	s.log.Info().
		Str("version", version).Str("commit", commit).Str("go", goVersion).
		Str("environment", s.cfg.Environment).Str("upstream", s.cfg.Upstream.String()).
		Str("listen", fmt.Sprint(s.listening[0].Addr())).Str("admin", fmt.Sprint(s.listening[1].Addr())).
		Str("grant_type", s.cfg.GrantType).Func(s.vend.sayWhere).Msg("listening")
}
