package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/confine"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// The shell's codes for a command that cannot be run.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// runFor is the command run: a sidecar on free ports for one other command, which
// is started once the sidecar is ready and whose exit code is returned.
func runFor(args []string, stderr io.Writer) int {
	flags := newFlags("run", " -- command [argument...]", stderr)
	timeout := flags.Duration("timeout", 30*time.Second, "how long to wait until the sidecar is ready")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if flags.NArg() == 0 || *timeout <= 0 {
		_, _ = fmt.Fprintln(stderr, "monite-proxy run: want a command, as in 'monite-proxy run -- npm test', and a positive -timeout")
		return exitUsage
	}
	// What is ignored stays so in the command; what is caught does not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passedOn...)
	_ = confine.NoDumps()
	environment := os.Environ() // before the secrets are taken out
	choosePorts()
	cfg, err := config.Load()
	if err != nil {
		return badConfiguration(stderr, err)
	}
	if cfg.Listen.Network != "tcp" {
		_, _ = fmt.Fprintln(stderr, "monite-proxy run: MONITE_LISTEN_ADDR: want a port, or leave it out: a base URL cannot name a unix socket")
		return exitUsage
	}
	s, closeLogs, code := open(cfg, stderr, time.Now())
	defer closeLogs()
	if s == nil {
		return code
	}
	running := s.begin()
	if why, code := s.waitUntilReady(*timeout, running, signals); why != "" {
		_, _ = fmt.Fprintf(stderr, "monite-proxy run: the command was not started: %s\n", why)
		running.stop()
		return code
	}
	child, err := startChild(flags.Args(), childEnvironment(environment, s))
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "monite-proxy run: start the command: %v\n", err)
		running.stop()
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return exitNotFound
		}
		return exitNotExecutable
	}
	// Only now: what a process gives up its children do not have either.
	if err := s.confine(); err != nil {
		s.log.Error().Err(err).Msg("cannot go on")
		child.signal(syscall.SIGTERM)
		child.wait()
		running.stop()
		return exitFailure
	}
	code = accompany(child, running, signals)
	running.stop()
	return code
}

// accompany passes signals on until the child has ended, and returns its code.
func accompany(child *child, running *running, signals <-chan os.Signal) int {
	ended := make(chan int, 1)
	go func() { ended <- child.wait() }()
	broken := false
	end := running.ended
	for {
		select {
		case received := <-signals:
			child.signal(received)
		case <-end: // a listener failed; the log says which
			broken, end = true, nil
			child.signal(syscall.SIGTERM)
		case code := <-ended:
			if broken {
				return exitFailure
			}
			return code
		}
	}
}

// choosePorts leaves alone what is set. The log is for trouble only: the terminal
// is the command's.
func choosePorts() {
	for name, value := range map[string]string{"MONITE_LISTEN_ADDR": "127.0.0.1:0", "MONITE_ADMIN_ADDR": "127.0.0.1:0", "MONITE_LOG_LEVEL": "warn"} {
		if os.Getenv(name) == "" {
			_ = os.Setenv(name, value)
		}
	}
	// No other process has to learn that we stop.
	_ = os.Unsetenv("MONITE_SHUTDOWN_DELAY")
}

// running is a sidecar whose life goes on beside the command's.
type running struct {
	ended   chan struct{}
	signals chan os.Signal
}

func (s *sidecar) begin() *running {
	r := &running{ended: make(chan struct{}), signals: make(chan os.Signal, 1)}
	go func() {
		defer close(r.ended)
		s.run(r.signals, make(chan os.Signal))
	}()
	return r
}

// stop drains, and returns at the end of it.
func (r *running) stop() {
	r.signals <- syscall.SIGTERM
	<-r.ended
}

// endings are the signals that end a run whose command has not begun.
var endings = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// waitUntilReady returns an empty why once requests can be sent.
func (s *sidecar) waitUntilReady(limit time.Duration, running *running, signals <-chan os.Signal) (why string, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		ready, missing := s.health.Ready()
		switch {
		case ready:
			return "", exitOK
		case s.refusedForGood():
			return missing[0], exitFailure
		}
		select {
		case <-ticker.C:
		case <-running.ended:
			return "the sidecar has stopped", exitFailure
		case received := <-signals:
			if number, ok := received.(syscall.Signal); ok && slices.Contains(endings, received) {
				return "signal: " + received.String(), 128 + int(number)
			}
		case <-ctx.Done():
			return fmt.Sprintf("the sidecar is not ready after %v: %s", limit, missing[0]), exitFailure
		}
	}
}

// refusedForGood reports whether the token endpoint has refused the default grant:
// the same credentials will not get one a moment later.
func (s *sidecar) refusedForGood() bool {
	for _, status := range s.cache.Status() {
		if status.Warm && status.LastFailure != nil && status.LastFailure.Reason == tokencache.Rejected {
			return true
		}
	}
	return false
}

// childEnvironment returns the command's environment: it says where the sidecar is,
// and leaves out what only the sidecar needs. The app token is the app's own.
func childEnvironment(environment []string, s *sidecar) []string {
	var kept []string
	behindProxy := false
	noProxy := ""
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		upper := strings.ToUpper(name)
		switch {
		case isSidecarsOwn(upper):
			continue
		case upper == "NO_PROXY":
			noProxy = cmp.Or(value, noProxy)
			continue
		case upper == "HTTP_PROXY", upper == "ALL_PROXY":
			behindProxy = behindProxy || value != ""
		}
		kept = append(kept, variable)
	}
	if behindProxy { // it must not get what is for localhost
		noProxy = strings.TrimPrefix(noProxy+",localhost,127.0.0.1,::1", ",")
	}
	if noProxy != "" {
		kept = append(kept, "NO_PROXY="+noProxy, "no_proxy="+noProxy)
	}
	return append(kept, "MONITE_API_URL="+s.baseURL(), "MONITE_ADMIN_ADDR="+s.admin.address())
}

// isSidecarsOwn reports whether a variable, in upper case, is for the sidecar
// alone: credentials and the files that hold them, and what the service manager
// has said to this process.
func isSidecarsOwn(name string) bool {
	switch name {
	case "MONITE_API_URL", "MONITE_ADMIN_ADDR", "NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES":
		return true
	case "MONITE_APP_TOKEN", "MONITE_APP_TOKEN_FILE":
		return false
	}
	for _, beginning := range []string{"MONITE_CLIENT_", "MONITE_REDIS_", "MONITE_VEND_"} {
		if strings.HasPrefix(name, beginning) {
			return true
		}
	}
	return strings.HasPrefix(name, "MONITE_") && strings.HasSuffix(name, "_FILE")
}

// address returns the address at which a program on this host reaches the endpoint,
// with the port chosen for port 0.
func (e endpoint) address() string {
	tcp, ok := e.listener.Addr().(*net.TCPAddr)
	if !ok {
		return "unix:" + e.listener.Addr().String()
	}
	_, address := config.Listen{Network: "tcp", Address: tcp.String()}.DialAddress()
	return address
}

// baseURL returns the base URL for apps.
func (s *sidecar) baseURL() string {
	address := s.data.address()
	if strings.HasPrefix(address, "unix:") {
		return address
	}
	_, port, _ := net.SplitHostPort(address)
	switch {
	case s.cfg.ServerTLS(s.tlsReloaded) != nil: // certificates name hosts
		return "https://localhost:" + port + "/v1"
	case s.cfg.Listen.Localhost:
		return "http://localhost:" + port + "/v1"
	}
	return "http://" + address + "/v1"
}
