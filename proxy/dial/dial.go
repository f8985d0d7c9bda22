package dial

import (
	"context"
	"net"
	"sync"
	"time"
)

// Dialer makes TCP connections. The exported fields are its configuration: set
// them before the first use. Safe for concurrent use.
type Dialer struct {
	// Timeout bounds the attempt to connect to one address. Default 5s. A lookup has
	// 15s of its own.
	Timeout time.Duration
	// OnStale is called when addresses of an earlier lookup are used, at most once a
	// minute. May be nil.
	OnStale func(Stale)

	once      sync.Once
	names     *addressBook
	connectTo func(ctx context.Context, network, addr string) (net.Conn, error) // an IP address
}

func (d *Dialer) setup() {
	if d.Timeout <= 0 {
		d.Timeout = 5 * time.Second
	}
	d.connectTo = (&net.Dialer{}).DialContext
	d.names = &addressBook{resolve: (&net.Resolver{Dial: new(nameServers).dial}).LookupNetIP, onStale: d.OnStale}
}

// Dial connects to addr, host:port.
func (d *Dialer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	d.once.Do(d.setup)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return d.open(ctx, host, port)
}

// Stop ends the lookups that are under way. They end by themselves too.
func (d *Dialer) Stop() {
	d.once.Do(d.setup)
	d.names.stop()
}
