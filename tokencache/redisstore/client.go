package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	maxConns = 2
	// keepFor is the time for which an idle connection is kept. A replica asks a few
	// times in an hour: thousands of connections that idle would be all that a server
	// takes.
	keepFor = 15 * time.Second
)

// client runs scripts on a real server.
type client struct {
	config Config
	ports  []uint16
	tls    *tls.Config // nil: none
	slots  chan struct{}

	mu   sync.Mutex // guards idle
	idle []*conn
}

func newClient(config Config) *client {
	c := &client{config: config, ports: portsOf(config), slots: make(chan struct{}, maxConns)}
	if config.TLS {
		c.tls = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: config.RootCAs, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	}
	return c
}

// portsOf are the ports that the configuration names.
func portsOf(config Config) (ports []uint16) {
	for _, address := range config.Addresses {
		_, text, _ := net.SplitHostPort(address)
		if port, err := strconv.ParseUint(text, 10, 16); err == nil && !config.Unix {
			ports = append(ports, uint16(port))
		}
	}
	return ports
}

func (c *client) run(ctx context.Context, s *script, keys []string, args ...any) (reply any, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// The library's parser has panicked on hostile replies before. None comes past the
	// filter, and a store is not worth a process.
	defer func() {
		if r := recover(); r != nil {
			reply, err = nil, &Error{Kind: "protocol"}
		}
	}()
	on := c.take()
	for followed, renewed := false, false; ; {
		if on == nil {
			if on, err = c.dial(ctx); err != nil {
				break
			}
		}
		if reply, err = on.eval(ctx, s, keys, args); err == nil {
			c.put(on)
			return reply, nil
		}
		on.close()
		word, isReply := errors.AsType[redis.Error](err)
		switch {
		// A redirect is a way to make us connect elsewhere: once, and only to a port
		// that the configuration names.
		case isReply && strings.HasPrefix(string(word), "MOVED ") && !followed:
			followed = true
			on, err = c.follow(ctx, string(word))
		// The server has ended it while it was idle.
		case !isReply && on.used && !renewed && !errors.Is(err, errHostile):
			renewed = true
			c.dropIdle()
			on, err = nil, nil
		case isReply: // READONLY, LOADING, NOAUTH: the others lead to the same server
			c.dropIdle()
		}
		if err != nil || ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, asError(err)
}

// follow connects to where a MOVED leads.
func (c *client) follow(ctx context.Context, moved string) (*conn, error) {
	fields := strings.Fields(moved)
	if len(fields) != 3 {
		return nil, &Error{Kind: "protocol"}
	}
	host, port, err := net.SplitHostPort(fields[2])
	number, parseErr := strconv.ParseUint(port, 10, 16)
	if err != nil || parseErr != nil || host == "" || !slices.Contains(c.ports, uint16(number)) {
		return nil, &Error{Kind: "MOVED", Err: errors.New("to a port that the URL does not name")}
	}
	return c.connect(ctx, fields[2])
}

// dial connects to the first host that takes the connection.
func (c *client) dial(ctx context.Context) (on *conn, err error) {
	hosts := c.config.Addresses
	if c.config.Master != "" {
		master, err := c.askSentinels(ctx)
		if err != nil {
			return nil, err
		}
		hosts = []string{master}
	}
	err = eachHost(ctx, hosts, func(ctx context.Context, host string) error {
		on, err = c.connect(ctx, host)
		return err
	})
	return on, err
}

// eachHost does something with the hosts in order, until it succeeds. One that does
// not respond leaves the others their share of the time.
func eachHost(ctx context.Context, hosts []string, do func(context.Context, string) error) (err error) {
	for i, host := range hosts {
		within, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok && i < len(hosts)-1 {
			within, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(hosts)-i))
		}
		err = do(within, host)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// connect makes one connection. Nothing is said on it yet.
func (c *client) connect(ctx context.Context, host string) (*conn, error) {
	network := "tcp"
	if c.config.Unix {
		network = "unix"
	}
	dialer := net.Dialer{KeepAlive: -1}
	raw, err := dialer.DialContext(ctx, network, host)
	if err != nil {
		return nil, &Error{Kind: "connect", Err: err}
	}
	if c.tls != nil {
		config := c.tls.Clone()
		config.ServerName, _, _ = net.SplitHostPort(host)
		secured := tls.Client(raw, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, &Error{Kind: "tls", Err: err}
		}
		raw = secured
	}
	f := &filter{Conn: raw}
	return &conn{filter: f, redis: redis.NewConn(f, 0, 0), greeting: c.greeting()}, nil
}

// greeting is sent before the first script: a login, or a PING. Without either, a
// server that wants a password takes the script for an attack (`ERR Protocol error:
// unauthenticated multibulk length`) and does not say that it wants one. Nothing is sent
// before a login: Redis from 7.2 and Valkey leave out the reply to an AUTH that fails
// while another reply is on its way, and each reply would be taken for the one before.
func (c *client) greeting() [][]any {
	greeting := [][]any{{"PING"}}
	if c.config.Password != nil {
		if password := c.config.Password(); !password.IsZero() {
			greeting[0] = []any{"AUTH"}
			if c.config.User != "" {
				greeting[0] = append(greeting[0], c.config.User)
			}
			greeting[0] = append(greeting[0], password.Reveal())
		}
	}
	if c.config.Database != 0 {
		greeting = append(greeting, []any{"SELECT", c.config.Database})
	}
	return greeting
}

// take returns an idle connection, or nil.
func (c *client) take() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.idle) - 1
	if last < 0 {
		return nil
	}
	on := c.idle[last]
	c.idle = c.idle[:last]
	on.expiry.Stop()
	return on
}

func (c *client) put(on *conn) {
	on.used = true
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, on)
	on.expiry = time.AfterFunc(keepFor, func() { c.expire(on) })
}

func (c *client) expire(on *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.idle, on); i >= 0 {
		c.idle = slices.Delete(c.idle, i, i+1)
		on.close()
	}
}

func (c *client) dropIdle() {
	for on := c.take(); on != nil; on = c.take() {
		on.close()
	}
}

// asError keeps of an error what may be shown.
func asError(err error) error {
	var timeout interface{ Timeout() bool }
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Kind == "connect" && errors.As(e.Err, &timeout) && timeout.Timeout() {
			return context.DeadlineExceeded
		}
		return e
	}
	reply, isReply := errors.AsType[redis.Error](err)
	_, badCert := errors.AsType[*tls.CertificateVerificationError](err)
	_, badRoot := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case isReply:
		return &Error{Kind: firstWord(string(reply))}
	case errors.Is(err, errHostile):
		return &Error{Kind: "protocol"}
	case badCert, badRoot:
		return &Error{Kind: "tls", Err: err}
	case errors.As(err, &timeout) && timeout.Timeout():
		return context.DeadlineExceeded
	default:
		return &Error{Kind: "closed"}
	}
}

// firstWord returns the part of a server's error that is kept; the rest may say
// anything.
func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if word == "" || len(word) > 20 || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "ERR"
	}
	return word
}
