package dial

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// lookupTimeout bounds one lookup. A name server that is silent costs 5 s, as
	// with glibc: this is enough for two of them, and for a query that was lost.
	lookupTimeout = 15 * time.Second
	// lookupPatience is the time after which a slow lookup's place is taken by the
	// addresses of an earlier one. Once a lookup has been that slow, the next one
	// gets no head start until one has been quick again.
	lookupPatience = 300 * time.Millisecond
	// lookupReuse is the time for which a failure counts where earlier addresses can
	// be used: a name server that fails is not asked for each connection. The result
	// of a slow lookup counts for the same time: the caller that started it may have
	// left just before.
	lookupReuse = time.Second
	// MaxStale is the time for which the addresses of a lookup serve later ones that
	// hang or fail.
	MaxStale = time.Hour
	// staleSaid is the interval at which Dialer.OnStale is called while it lasts.
	staleSaid = time.Minute
)

// Stale says that addresses of an earlier lookup are used, because the
// one that is under way is slow or has failed.
type Stale struct {
	Host string
	Age  time.Duration // since the earlier lookup
	Err  error         // of the lookup that failed; nil: it is slow
}

// addressBook looks up names. It looks a name up anew for each connection, in a time
// that does not count against the connect timeout, and remembers the last addresses
// that could be connected to.
type addressBook struct {
	resolve func(ctx context.Context, network, host string) ([]netip.Addr, error) // as net.Resolver.LookupNetIP
	onStale func(Stale)                                                           // may be nil

	mu     sync.Mutex // guards all below, and every lookup
	known  map[string]*name
	prefer int // the family that was connected to last, 4 or 6; 0: none yet, so 6
}

type name struct {
	latest *lookup
	late   bool         // the latest lookup that ended, or should have, was slow
	good   []netip.Addr // what could be connected to, with what was found beside it
	goodAt time.Time
	said   time.Time // of onStale
}

// lookup is shared by all connections that need it at the same time. It is bounded by
// lookupTimeout alone: the caller that started it may leave, and the next one finds
// its result.
type lookup struct {
	host    string
	name    *name
	begun   time.Time
	cancel  context.CancelFunc
	changed chan struct{} // closed at the next change
	found   []netip.Addr
	ended   time.Time // zero: under way
	err     error     // why nothing was found
}

// begin joins the lookup of host that is under way, or starts one.
func (n *addressBook) begin(host string) *lookup {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := n.known[host]
	if k == nil {
		if n.known == nil {
			n.known = map[string]*name{}
		}
		k = new(name)
		n.known[host] = k
	}
	now := time.Now()
	if l := k.latest; l != nil && (l.ended.IsZero() || now.Sub(l.ended) < lookupReuse && l.reusable()) {
		return l
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	l := &lookup{host: host, name: k, begun: now, cancel: cancel, changed: make(chan struct{})}
	k.latest = l
	go n.run(ctx, l)
	return l
}

func (l *lookup) reusable() bool {
	if l.err != nil {
		return len(l.name.good) > 0
	}
	return l.ended.Sub(l.begun) > lookupPatience
}

// run looks the name up as it is, and only if that fails with the search list of
// the system. Where the list comes first (ndots:5 in Kubernetes), each connection
// costs eight queries more, and a domain of the list that is silent ten seconds.
func (n *addressBook) run(ctx context.Context, l *lookup) {
	defer l.cancel()
	var err error
	if absolute := l.host + "."; strings.Contains(l.host, ".") && !strings.HasSuffix(l.host, ".") {
		if err = n.both(ctx, l, absolute); err != nil {
			if again := n.both(ctx, l, l.host); again == nil || isNotFound(err) && !isNotFound(again) {
				err = again
			}
		}
	} else {
		err = n.both(ctx, l, l.host)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l.ended = time.Now()
	l.name.late = l.name.late || err != nil
	if err != nil {
		l.err = lookupError(err)
	}
	close(l.changed)
}

// both asks for the two families at the same time, each in its own query: one without
// a response holds nothing up. The error is nil if there is an address.
func (n *addressBook) both(ctx context.Context, l *lookup, host string) error {
	failed := make(chan error, 1)
	go func() { failed <- n.family(ctx, l, "ip6", host) }()
	err := n.family(ctx, l, "ip4", host)
	err6 := <-failed
	switch {
	case err == nil, err6 == nil:
		return nil
	case isNotFound(err) && !isNotFound(err6):
		return err6
	}
	return err
}

func (n *addressBook) family(ctx context.Context, l *lookup, network, host string) error {
	found, err := n.resolve(ctx, network, host)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errNoAddress
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(l.found) == 0 {
		l.name.late = time.Since(l.begun) > lookupPatience
	}
	for _, addr := range found {
		l.found = append(l.found, addr.Unmap())
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// addresses returns the addresses that a connection can be made to now.
type addresses struct {
	found   []netip.Addr
	changed <-chan struct{} // when there may be more; nil: never
	failed  error           // the lookup has ended with this
}

func (n *addressBook) state(l *lookup) addresses {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := addresses{found: l.found, failed: l.err}
	if l.ended.IsZero() {
		now.changed = l.changed
	}
	return now
}

// stale returns the addresses of an earlier lookup, if they are young enough.
func (n *addressBook) stale(l *lookup) []netip.Addr {
	n.mu.Lock()
	k, now := l.name, time.Now()
	age := now.Sub(k.goodAt)
	if len(k.good) == 0 || age > MaxStale {
		n.mu.Unlock()
		return nil
	}
	good, failed := k.good, l.err
	say := n.onStale != nil && len(l.found) == 0 && now.Sub(k.said) >= staleSaid
	if say {
		k.said = now
	}
	if len(l.found) == 0 {
		k.late = true
	}
	n.mu.Unlock()
	if say {
		n.onStale(Stale{Host: l.host, Age: age, Err: failed})
	}
	return good
}

// patience returns the time to wait for l before earlier addresses are tried.
func (n *addressBook) patience(l *lookup) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.name.late {
		return 0
	}
	return lookupPatience
}

// connected remembers what l has found: an address of it could be connected to.
func (n *addressBook) connected(l *lookup, to netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.prefer = family(to)
	if slices.Contains(l.found, to) {
		l.name.good, l.name.goodAt = l.found, l.begun
	}
}

func (n *addressBook) preferred() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return cmp.Or(n.prefer, 6)
}

// stop ends the lookups that are under way.
func (n *addressBook) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, k := range n.known {
		if k.latest != nil {
			k.latest.cancel()
		}
	}
}

// otherFamily is the time for which Lookup waits for the addresses of the second family.
const otherFamily = time.Second

// Lookup looks up a name as a Dialer does for a connection. The doctor examines the
// way to upstream with it.
func Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	book := &addressBook{resolve: net.DefaultResolver.LookupNetIP}
	l := book.begin(host)
	defer book.stop()
	var enough <-chan time.Time
	for {
		now := book.state(l)
		if now.changed == nil {
			return now.found, now.failed
		}
		if len(now.found) > 0 {
			enough = time.After(otherFamily)
		}
		select {
		case <-now.changed:
		case <-enough:
			return now.found, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func family(addr netip.Addr) int {
	if addr.Is4() {
		return 4
	}
	return 6
}

var errNoAddress = errors.New("the name has no address")
