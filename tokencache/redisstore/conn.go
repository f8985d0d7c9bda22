package redisstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// conn is one connection. It does one exchange at a time, and none after one that
// did not end as it should: no reply can belong to another question.
type conn struct {
	filter   *filter
	redis    redis.Conn
	greeting [][]any // not sent yet
	received int     // replies that were read
	used     bool    // it has done an exchange
	expiry   *time.Timer
}

func (c *conn) close() { _ = c.redis.Close() }

// eval runs a script by its hash, and sends it where the server does not know it.
func (c *conn) eval(ctx context.Context, s *script, keys []string, args []any) (any, error) {
	call := make([]any, 0, 2+len(keys)+len(args))
	call = append(call, s.hash, len(keys))
	for _, key := range keys {
		call = append(call, key)
	}
	call = append(call, args...)
	c.filter.mostBulk = s.mostBulk
	reply, err := c.do(ctx, "EVALSHA", call)
	if word, ok := errors.AsType[redis.Error](err); ok && strings.HasPrefix(string(word), "NOSCRIPT") {
		call[0] = s.text
		reply, err = c.do(ctx, "EVAL", call)
	}
	return reply, err
}

// do sends a command, in one write with the greeting if there is one, and returns its
// reply. An error of type redis.Error is a reply, too.
func (c *conn) do(ctx context.Context, command string, args []any) (any, error) {
	// The end of ctx ends the connection, whatever it is doing.
	stop := context.AfterFunc(ctx, func() { _ = c.filter.Close() })
	defer stop()
	greeting := c.greeting
	c.greeting = nil
	for _, g := range greeting {
		if err := c.redis.Send(g[0].(string), g[1:]...); err != nil {
			return nil, err
		}
	}
	if err := c.redis.Send(command, args...); err != nil {
		return nil, err
	}
	if err := c.redis.Flush(); err != nil {
		return nil, err
	}
	for range greeting {
		if _, err := c.receive(ctx); err != nil {
			return nil, err
		}
	}
	reply, err := c.receive(ctx)
	if _, isReply := errors.AsType[redis.Error](err); (err == nil || isReply) && !c.filter.atRest(c.received) {
		return nil, errHostile // it said more than it was asked
	}
	return reply, err
}

// receive reads one reply.
func (c *conn) receive(ctx context.Context) (any, error) {
	timeout := time.Duration(0)
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), time.Nanosecond)
	}
	reply, err := redis.ReceiveWithTimeout(c.redis, timeout)
	c.received++
	if errors.Is(c.filter.err, errHostile) {
		return nil, errHostile
	}
	return reply, err
}
