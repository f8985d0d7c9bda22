package redisstore

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// MasterPort asks the Sentinels for the server's port, for what confines the process.
// 0: they do not know it.
func (s *Store) MasterPort(ctx context.Context) uint16 {
	c, ok := s.server.(*client)
	if !ok {
		return 0
	}
	master, err := c.askSentinels(ctx)
	if err != nil {
		return 0
	}
	_, text, _ := net.SplitHostPort(master)
	port, _ := strconv.ParseUint(text, 10, 16)
	return uint16(port)
}

// askSentinels returns the master's address, from the first Sentinel that knows it.
// They are asked at each new connection, because the master may have changed.
func (c *client) askSentinels(ctx context.Context) (master string, err error) {
	err = eachHost(ctx, c.config.Addresses, func(ctx context.Context, host string) error {
		on, err := c.connect(ctx, host)
		if err != nil {
			return err
		}
		defer on.close()
		// Sentinels have users and passwords of their own, and usually none. What the
		// server is told is told to a Sentinel that asks for it.
		greeting := on.greeting
		on.greeting = nil
		reply, err := on.do(ctx, "SENTINEL", []any{"get-master-addr-by-name", c.config.Master})
		if word, ok := errors.AsType[redis.Error](err); ok && strings.HasPrefix(string(word), "NOAUTH") && greeting[0][0] == "AUTH" {
			on.greeting = greeting[:1]
			reply, err = on.do(ctx, "SENTINEL", []any{"get-master-addr-by-name", c.config.Master})
		}
		if err != nil {
			return err
		}
		list, ok := reply.([]any)
		if !ok || len(list) != 2 {
			return &Error{Kind: "sentinel", Err: errors.New("the master is not known by that name")}
		}
		address, ok1 := text(list[0])
		port, ok2 := text(list[1])
		if !ok1 || !ok2 {
			return &Error{Kind: "protocol"}
		}
		master = net.JoinHostPort(address, port)
		return nil
	})
	return master, err
}
