package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

const envPrefix = "MONITE_SIM_"

// options are the flags, checked.
type options struct {
	listen   string
	announce bool // the address is printed as JSON
	config   monitetest.Config
	webhooks bool
	demo     bool
	health   bool
	command  []string
}

// parseOptions reads flags and variables; a flag wins over its variable. All
// mistakes are reported at once.
func parseOptions(args, env []string) (options, error) {
	var opts options
	before, command, hasCommand := cutCommand(args)
	flags := flag.NewFlagSet("monite-sim", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints, once
	flags.StringVar(&opts.listen, "listen", "127.0.0.1:8090", "")
	flags.StringVar(&opts.config.ClientID, "client-id", monitetest.DemoClientID, "")
	flags.StringVar(&opts.config.ClientSecret, "client-secret", monitetest.DemoClientSecret, "")
	flags.DurationVar(&opts.config.TokenLifetime, "token-lifetime", 30*time.Minute, "")
	flags.IntVar(&opts.config.ExpiredStatus, "expired-status", 401, "")
	flags.IntVar(&opts.config.RateLimit, "rate-limit", 0, "")
	flags.DurationVar(&opts.config.Latency, "latency", 0, "")
	flags.Uint64Var(&opts.config.Seed, "seed", 0, "")
	flags.BoolVar(&opts.webhooks, "webhooks", false, "")
	data := flags.String("data", "", "")
	port := flags.Int("port", -1, "")
	flags.BoolVar(&opts.demo, "demo", false, "")
	flags.BoolVar(&opts.health, "health", false, "")

	var mistakes []error
	flags.VisitAll(func(f *flag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := lookup(env, name)
		// Kubernetes sets MONITE_SIM_PORT for a service of that name.
		if f.Name == "health" || f.Name == "port" || value == "" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s=%q: must be %s", name, value, accepted(f)))
		}
	})
	if err := flags.Parse(before); err != nil { // it stops at the first mistake
		return options{}, errors.Join(append([]error{err}, mistakes...)...)
	}
	if flags.NArg() > 0 {
		mistakes = append(mistakes, fmt.Errorf("unexpected argument %q: a command goes behind --", flags.Arg(0)))
	}
	if hasCommand && len(command) == 0 {
		mistakes = append(mistakes, errors.New("there is no command behind --"))
	}
	opts.command = command
	if *port != -1 {
		opts.announce = true
		if err := opts.setPort(*port); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	if *data != "" {
		read, err := readData(*data)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("-data %w", err))
		}
		opts.config.Data = read
	}
	return opts, errors.Join(append(mistakes, opts.check()...)...)
}

// accepted says what a flag takes.
func accepted(f *flag.Flag) string {
	getter, _ := f.Value.(flag.Getter)
	switch getter.Get().(type) {
	case time.Duration:
		return "a duration, such as 90s or 30m"
	case int, uint64:
		return "a whole number"
	case bool:
		return "true or false"
	}
	return "text"
}

// cutCommand splits at the first "--".
func cutCommand(args []string) (before, command []string, found bool) {
	for i, arg := range args {
		if arg == "--" {
			return args[:i], args[i+1:], true
		}
	}
	return args, nil, false
}

func (o options) check() (mistakes []error) {
	if _, port, err := net.SplitHostPort(o.listen); err != nil || port == "" {
		mistakes = append(mistakes, fmt.Errorf("-listen %q: must be host:port, such as 127.0.0.1:8090 or :0", o.listen))
	}
	if o.config.ClientID == "" || o.config.ClientSecret == "" {
		mistakes = append(mistakes, errors.New("-client-id and -client-secret must not be empty"))
	}
	if o.config.TokenLifetime <= 0 {
		mistakes = append(mistakes, fmt.Errorf("-token-lifetime %v: must be above 0, such as 90s or 30m", o.config.TokenLifetime))
	}
	if status := o.config.ExpiredStatus; status != 400 && status != 401 {
		mistakes = append(mistakes, fmt.Errorf("-expired-status %d: must be 401, or 400 for the older dialect", status))
	}
	if o.config.RateLimit < 0 {
		mistakes = append(mistakes, fmt.Errorf("-rate-limit %d: must be 0 (none) or above", o.config.RateLimit))
	}
	if o.config.Latency < 0 {
		mistakes = append(mistakes, fmt.Errorf("-latency %v: must be 0 or above", o.config.Latency))
	}
	if o.demo && len(o.command) == 0 {
		mistakes = append(mistakes, errors.New("-demo needs a command behind --: it calls the sidecar that the command is"))
	}
	if o.health && len(o.command) > 0 {
		mistakes = append(mistakes, errors.New("-health runs no command"))
	}
	return mistakes
}

// setPort takes the port from -port and the host from -listen.
func (o *options) setPort(port int) error {
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return nil //nolint:nilerr // check says what is wrong with -listen
	}
	if port < 0 || port > 65535 {
		return fmt.Errorf("-port %d: must be 0 (a free one) to 65535", port)
	}
	o.listen = net.JoinHostPort(host, strconv.Itoa(port))
	return nil
}

// readData reads documents by owner and path.
func readData(path string) (data map[string]map[string][]map[string]any, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if data, err = monitetest.ParseData(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// lookup returns the last value of a variable, as os.Getenv would.
func lookup(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}
