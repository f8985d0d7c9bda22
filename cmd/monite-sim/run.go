package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// process holds what main gets from the operating system.
type process struct {
	args, env             []string
	signals               <-chan os.Signal
	stdin, stdout, stderr *os.File
}

// run is the life of the simulator: options, listener, then the command or a
// signal, then the listener closed again.
func run(p process) int {
	opts, err := parseOptions(p.args, p.env)
	switch {
	case errors.Is(err, flag.ErrHelp):
		printUsage(p.stdout)
		return exitOK
	case err != nil:
		fmt.Fprintf(p.stderr, "monite-sim: %v\n\nRun monite-sim -h for help.\n", err)
		return exitUsage
	case opts.health:
		return health(p, opts)
	}

	sim, err := monitetest.Open(opts.config)
	if err != nil {
		fmt.Fprintf(p.stderr, "monite-sim: -data: %v\n\nRun monite-sim -h for help.\n", err)
		return exitUsage
	}
	listener, err := net.Listen("tcp", opts.listen)
	if err != nil {
		fmt.Fprintf(p.stderr, "monite-sim: %v\n", err)
		if errors.Is(err, syscall.EADDRINUSE) {
			fmt.Fprintln(p.stderr, "Another program has this port: stop it, or take a free one with MONITE_SIM_LISTEN=127.0.0.1:0.")
		}
		return exitFailure
	}
	base := "http://" + reachable(listener.Addr().String())
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	var tasks sync.WaitGroup
	failed := make(chan error, 1)
	tasks.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	})
	if err := announce(p, opts, base); err != nil {
		fmt.Fprintf(p.stderr, "monite-sim: %v\n", err)
	}

	ctx, stop := context.WithCancel(context.Background())
	if opts.webhooks {
		tasks.Go(func() { sim.DeliverWebhooks(ctx) })
	}
	if opts.demo {
		manager, err := newManager()
		if err != nil {
			fmt.Fprintf(p.stderr, "monite-sim: -demo: %v\n", err)
		} else {
			defer manager.close()
			p.env = append(p.env, "NOTIFY_SOCKET="+manager.path)
			tasks.Go(func() { manager.showDemo(ctx, p.stdout, base, lookup(p.env, "MONITE_APP_TOKEN") != "") })
		}
	}
	var code int
	if len(opts.command) > 0 {
		code = runCommand(p, opts, base, failed)
	} else {
		code = waitForSignal(p, failed)
	}
	stop()
	closeServer(server, p.signals)
	tasks.Wait()
	return code
}

// announce says where the simulator listens: to people in a sentence, to
// programs, which use -port, as one line of JSON.
func announce(p process, opts options, base string) error {
	if !opts.announce {
		_, err := fmt.Fprintf(p.stdout, "monite-sim: simulated Monite API on %s, a page and the control surface on %s/_sim/\n", base, base)
		return err
	}
	return json.NewEncoder(p.stdout).Encode(map[string]string{
		"url": base, "api_url": base + "/v1", "control_url": base + "/_sim",
		"entity_id": monitetest.DemoEntityID, "entity_user_id": monitetest.DemoEntityUserID,
	})
}

func waitForSignal(p process, failed <-chan error) int {
	select {
	case <-p.signals:
		return exitOK
	case err := <-failed:
		fmt.Fprintf(p.stderr, "monite-sim: %v\n", err)
		return exitFailure
	}
}

// closeServer lets running requests end for a moment. Those that a fault
// makes hang would never end; a further signal does not wait either.
func closeServer(server *http.Server, signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	})
	_ = server.Shutdown(ctx)
	_ = server.Close()
	cancel()
	watch.Wait()
}

// health asks a running simulator, for container probes without a shell.
func health(p process, opts options) int {
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Get("http://" + reachable(opts.listen) + "/_sim/healthz")
	if err != nil {
		fmt.Fprintf(p.stderr, "monite-sim: %v\n", err)
		return exitFailure
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		fmt.Fprintf(p.stderr, "monite-sim: %s answered %s\n", opts.listen, response.Status)
		return exitFailure
	}
	return exitOK
}

// reachable puts a loopback address where the host means "any address".
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
