package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/monite-proxy/monite-proxy/proxy/dial"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// firstHop returns the address that is dialled: upstream's, or the forward
// proxy's.
func (e *examination) firstHop() (host, port string, throughProxy bool) {
	at := e.cfg.Upstream
	if e.cfg.ProxyFromEnv {
		if proxy, err := httpproxy.FromEnvironment().ProxyFunc()(at); err == nil && proxy != nil {
			at, throughProxy = proxy, true
		}
	}
	return at.Hostname(), upstream.Port(at), throughProxy
}

func (e *examination) checkDNS(ctx context.Context) finding {
	host, _, _ := e.firstHop()
	if literal, err := netip.ParseAddr(host); err == nil {
		e.addresses = []string{literal.String()}
		return finding{Result: fine, What: host + " is an address, there is nothing to look up"}
	}
	var asking sync.WaitGroup
	asking.Go(func() { e.checkServers(ctx, host) })
	addresses, err := e.lookup(ctx, host)
	asking.Wait()
	if err != nil {
		return e.explainDNS(host, err)
	}
	e.addresses = addresses
	shown := strings.Join(addresses[:min(len(addresses), 4)], ", ")
	return finding{Result: fine, What: fmt.Sprintf("%s is %s", host, shown)}
}

// lookup asks as the sidecar does.
func lookup(ctx context.Context, host string) (addresses []string, err error) {
	found, err := dial.Lookup(ctx, host)
	for _, address := range found {
		addresses = append(addresses, address.String())
	}
	return addresses, err
}

func (e *examination) explainDNS(host string, err error) finding {
	if f := e.explainServers(host); f.What != "" {
		return f
	}
	f := finding{Result: problem, What: "the name " + host + " could not be looked up", Next: "check the resolver of this host or pod (/etc/resolv.conf), and that it may reach its DNS server." + e.proxyIgnored()}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		f.What = "the name " + host + " does not exist in DNS"
		f.Why = "a typing error in MONITE_API_URL, or a resolver that only knows internal names"
		f.Next = "check MONITE_API_URL; then the resolver of this host or pod (/etc/resolv.conf)." + e.proxyIgnored()
	} else if isTimeout(err) {
		f.Why = "the DNS server does not respond: a network policy or firewall that drops port 53, or a wrong address in /etc/resolv.conf"
	} else {
		f.Why = "the DNS server refuses or fails"
	}
	return f
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func (e *examination) checkTCP(ctx context.Context) finding {
	_, port, throughProxy := e.firstHop()
	conn, address, err := e.connect(ctx)
	if err != nil {
		return e.explainDial(address, err)
	}
	_ = conn.Close()
	if throughProxy {
		address = "the forward proxy at " + address
	}
	f := finding{Result: fine, What: "connected to " + address}
	if first := e.addresses[0]; address != net.JoinHostPort(first, port) && !throughProxy {
		f.What += "; the first address, " + first + ", did not connect"
	}
	return f
}

// mostAddresses limits how many addresses of a name are tried.
const mostAddresses = 4

// connect tries the addresses that the lookup has found. The address is the one
// that connected, or the first.
func (e *examination) connect(ctx context.Context) (conn net.Conn, address string, err error) {
	_, port, _ := e.firstHop()
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	tried := e.addresses[:min(len(e.addresses), mostAddresses)]
	for i, one := range tried {
		address := net.JoinHostPort(one, port)
		share, done := context.WithTimeout(ctx, stepTimeout/time.Duration(len(tried)))
		conn, failure := e.dial(share, "tcp", address)
		done()
		if failure == nil {
			return conn, address, nil
		}
		if i == 0 {
			err = failure
		}
	}
	return nil, net.JoinHostPort(e.addresses[0], port), err
}

func (e *examination) explainDial(address string, err error) finding {
	f := finding{Result: problem, What: "no TCP connection to " + address}
	switch {
	case isTimeout(err):
		f.What += ": no response"
		f.Why = "a firewall or network policy drops the packets"
		f.Next = "allow this host or pod to reach " + address + " by TCP." + e.proxyIgnored()
	case errors.Is(err, syscall.ECONNREFUSED):
		f.What += ": refused"
		f.Why = "nothing listens there, or a firewall rejects the connection"
		f.Next = "check host and port of MONITE_API_URL, and the firewall." + e.proxyIgnored()
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		f.What += ": no route"
		f.Why = "this host or pod has no way out, or only by the other IP version"
		f.Next = "check routes and network policy." + e.proxyIgnored()
	default:
		f.Why = "the connection ended before it was made"
		f.Next = "check firewall and network policy." + e.proxyIgnored()
	}
	return f
}
