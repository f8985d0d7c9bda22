package dial

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	// attemptDelay and familyDelay are RFC 8305's: between two attempts to connect,
	// and for the addresses of the other family.
	attemptDelay = 250 * time.Millisecond
	familyDelay  = 50 * time.Millisecond
	// maxAttempts bounds the addresses that one connection is tried with.
	maxAttempts = 12
)

// race makes one connection: it tries the addresses one after the other, the next
// one as soon as one has failed or has been silent for attemptDelay, and takes the
// first that connects (happy eyeballs, RFC 8305).
type race struct {
	d      *Dialer
	lookup *lookup
	port   string

	old     []netip.Addr // of an earlier lookup; nil: not used (yet)
	tried   []netip.Addr
	running int
	results chan attempt
	ready   bool  // the next attempt may begin
	family  int   // unasked, awaited, here: addresses of the family that comes first
	err     error // of the first attempt that failed
}

// The states of race.family. It is awaited for familyDelay, once.
const (
	unasked = iota
	awaited
	here
)

func hasFamily(addrs []netip.Addr, want int) bool {
	return slices.ContainsFunc(addrs, func(addr netip.Addr) bool { return family(addr) == want })
}

type attempt struct {
	addr netip.Addr
	conn net.Conn
	err  error
}

// open makes a connection to host, a name or an address.
func (d *Dialer) open(ctx context.Context, host, port string) (net.Conn, error) {
	if literal, err := netip.ParseAddr(host); err == nil {
		return d.attempt(ctx, literal, port)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the attempts that have not won
	r := &race{d: d, lookup: d.names.begin(host), port: port, results: make(chan attempt, maxAttempts), ready: true}
	defer r.closeLosers()
	return r.run(ctx)
}

func (r *race) run(ctx context.Context) (net.Conn, error) {
	names := r.d.names
	slow := time.NewTimer(names.patience(r.lookup))
	defer slow.Stop()
	next := time.NewTimer(0)
	next.Stop()
	defer next.Stop()
	for {
		now := names.state(r.lookup)
		switch whole := now.changed == nil || hasFamily(now.found, names.preferred()); {
		case r.family == unasked && len(now.found) > 0 && !whole:
			r.family, r.ready = awaited, false
			next.Reset(familyDelay)
		case r.family == awaited && whole:
			r.family, r.ready = here, true
		}
		addr, ok := r.pick(now.found)
		if !ok && r.old == nil && (now.failed != nil || len(now.found) > 0 && r.running == 0) {
			r.old = names.stale(r.lookup) // nothing that was found now can be connected to
			addr, ok = r.pick(now.found)
		}
		switch {
		case ok && r.ready:
			r.begin(ctx, addr)
			next.Reset(attemptDelay)
			continue
		case !ok && r.running == 0 && now.changed == nil:
			return nil, r.failure(now.failed)
		}
		select {
		case result := <-r.results:
			r.running--
			if result.err == nil {
				names.connected(r.lookup, result.addr)
				return result.conn, nil
			}
			if r.err == nil {
				r.err = result.err
			}
			r.ready = true
		case <-next.C:
			r.ready, r.family = true, here
		case <-now.changed:
		case <-slow.C:
			if len(now.found) == 0 {
				r.old = names.stale(r.lookup)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pick returns the next address: the families take turns.
func (r *race) pick(found []netip.Addr) (netip.Addr, bool) {
	want := r.d.names.preferred()
	if last := len(r.tried) - 1; last >= 0 {
		want = 10 - family(r.tried[last])
	}
	var other netip.Addr
	for _, list := range [...][]netip.Addr{found, r.old} {
		for _, addr := range list {
			switch {
			case slices.Contains(r.tried, addr):
			case family(addr) == want:
				return addr, len(r.tried) < maxAttempts
			case !other.IsValid():
				other = addr
			}
		}
		if other.IsValid() {
			break // what was found now comes before what was found earlier
		}
	}
	return other, other.IsValid() && len(r.tried) < maxAttempts
}

func (r *race) begin(ctx context.Context, addr netip.Addr) {
	r.tried = append(r.tried, addr)
	r.running++
	r.ready = false
	go func() {
		conn, err := r.d.attempt(ctx, addr, r.port)
		r.results <- attempt{addr, conn, err}
	}()
}

// closeLosers closes what connects although another address has won.
func (r *race) closeLosers() {
	running, results := r.running, r.results
	if running == 0 {
		return
	}
	go func() {
		for range running {
			if late := <-results; late.err == nil {
				_ = late.conn.Close()
			}
		}
	}()
}

func (r *race) failure(lookup error) error {
	switch {
	case r.err == nil:
		return lookup
	case lookup == nil:
		return r.err
	}
	return fmt.Errorf("%w; the addresses of an earlier lookup: %w", lookup, r.err)
}

// attempt connects to one address.
func (d *Dialer) attempt(ctx context.Context, addr netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	conn, err := d.connectTo(ctx, "tcp", net.JoinHostPort(addr.String(), port))
	return conn, connectError(err)
}
