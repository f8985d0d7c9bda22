package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// The files that Go's resolver reads.
const (
	resolvConf = "/etc/resolv.conf"
	hostsFile  = "/etc/hosts"
)

const (
	// mostServers is the number of name servers that Go's resolver asks.
	mostServers = 3
	// serverPatience is for one query, which is sent a second time in the middle of it.
	serverPatience = 2 * time.Second
	// ednsBytes is the message size that Go's resolver announces in EDNS0.
	ednsBytes = 1232
)

// serverCheck is the result of querying one name server for a host.
type serverCheck struct {
	address string // host and port
	a, aaaa string
	plain   string // found: it responds to A without EDNS0, and not with it
}

func (s serverCheck) name() string {
	host, _, err := net.SplitHostPort(s.address)
	if err != nil {
		return s.address
	}
	return host
}

// silent reports whether the resolver waits for this server in vain.
func (s serverCheck) silent() bool { return s.a == silent && s.aaaa == silent }

func (s serverCheck) works() bool { return s.a == found || s.aaaa == found }

// wantsPlain reports whether the server fails only because of EDNS0.
func (s serverCheck) wantsPlain() bool { return s.a != found && s.plain == found }

// withEDNS0 says what such a server does (RFC 6891 section 7 knows of the responses).
func (s serverCheck) withEDNS0() string {
	switch s.a {
	case formError:
		return "refuses queries with EDNS0 (FORMERR)"
	case silent:
		return "does not respond to queries with EDNS0"
	}
	return "responds to queries with EDNS0 with " + s.a
}

// nameServers returns the servers of a resolv.conf as Go's resolver reads it.
func nameServers(text string) (servers []string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" || len(servers) == mostServers {
			continue
		}
		if address, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, net.JoinHostPort(address.String(), "53"))
		}
	}
	if len(servers) == 0 {
		return []string{"127.0.0.1:53", "[::1]:53"}
	}
	return servers
}

// systemServers returns the servers that are asked for host: none if /etc/hosts
// has it.
func systemServers(host string) []string {
	hosts, _ := os.ReadFile(hostsFile)
	if inHosts(string(hosts), host) {
		return nil
	}
	text, _ := os.ReadFile(resolvConf)
	return nameServers(string(text))
}

func inHosts(text, host string) bool {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) > 1 && slices.ContainsFunc(fields[1:], func(name string) bool { return strings.EqualFold(name, host) }) {
			return true
		}
	}
	return false
}

// askServers sends each server the two queries that Go's resolver would send.
func (e *examination) askServers(ctx context.Context, servers []string, host string, edns bool) []serverCheck {
	checks := make([]serverCheck, len(servers))
	var asking sync.WaitGroup
	for i, address := range servers {
		check := &checks[i]
		check.address = address
		asking.Go(func() { check.aaaa = ask(ctx, e.patience, address, host, dnsmessage.TypeAAAA, edns) })
		asking.Go(func() {
			check.a = ask(ctx, e.patience, address, host, dnsmessage.TypeA, edns)
			switch {
			case !edns || check.a != formError && check.a != silent && check.a != fails && check.a != unknown:
			case ask(ctx, e.patience, address, host, dnsmessage.TypeA, false) == found:
				check.plain = found
				if check.a == silent { // once more: queries get lost
					check.a = ask(ctx, e.patience, address, host, dnsmessage.TypeA, edns)
				}
			}
		})
	}
	asking.Wait()
	return checks
}

// checkServers asks the name servers one by one, because a lookup tells only of
// the first that gives it something.
func (e *examination) checkServers(ctx context.Context, host string) {
	edns := !strings.Contains(","+os.Getenv("GODEBUG")+",", ",netedns0=0,")
	e.dns = e.askServers(ctx, e.servers(host), host, edns)
}

// reportServers tells of name servers in trouble while the lookup as a whole works.
func (e *examination) reportServers(host string) {
	works := false
	for i, server := range e.dns {
		f := finding{Step: "name server", Result: note, What: server.name() + " "}
		later := slices.ContainsFunc(e.dns[i+1:], serverCheck.works)
		switch {
		case server.works() && server.aaaa == silent:
			f.What += "does not respond to queries for IPv6 addresses (AAAA)"
			f.Why = "a name server or firewall drops them; IPv4 is used"
		case server.works():
			works = true
			continue
		case server.wantsPlain() && server.a == silent && !works && later:
			f.Result, f.What = problem, f.What+server.withEDNS0()+": each lookup waits 5 s for it before the next server is asked"
			f.Why, f.Next = plainAnswers, setPlain
		case server.silent() && !works && later:
			f.Result, f.What = problem, f.What+fmt.Sprintf("does not respond; it is number %d of %s", i+1, resolvConf)
			f.Why = "a wrong address, or a firewall that drops port 53: each lookup waits 5 s for it before the next server is asked"
			f.Next = "take it out of " + resolvConf + ", or allow this host or pod to reach it"
		case server.a == noName && !works && later:
			f.Result, f.What = problem, f.What+"says that the name "+host+" does not exist, and another name server knows it"
			f.Why = "it does not know the same names as the others, and the resolver believes the first that responds"
			f.Next = "put name servers that know the same names into " + resolvConf
		default:
			f.What += "is of no use: " + server.inWords()
			f.Why = "another name server is asked instead"
		}
		works = works || server.works()
		e.report.add(f)
	}
}

func (s serverCheck) inWords() string {
	if s.wantsPlain() {
		return "it " + s.withEDNS0()
	}
	switch s.a {
	case silent:
		return "it does not respond"
	case unreached:
		return "it cannot be reached"
	case noName:
		return "it says that the name does not exist"
	case empty:
		return "it has no address for the name"
	case garbled:
		return "its response is not DNS"
	}
	return "it responds with " + s.a
}

// Of a name server that only EDNS0 disturbs.
const (
	plainAnswers = "an old or simple name server, or a firewall that drops what it does not know; without EDNS0 it responds"
	setPlain     = "set GODEBUG=netedns0=0 for the sidecar, or use another name server"
)

// explainServers explains by its name servers why a lookup failed; a zero finding
// if they do not tell.
func (e *examination) explainServers(host string) finding {
	if len(e.dns) == 0 {
		return finding{}
	}
	all := func(is func(serverCheck) bool) bool {
		return !slices.ContainsFunc(e.dns, func(s serverCheck) bool { return !is(s) })
	}
	var names, words []string
	for _, server := range e.dns {
		names = append(names, server.name())
		words = append(words, server.name()+": "+server.inWords())
	}
	list := strings.Join(names, ", ")
	f := finding{Result: problem, What: "the name " + host + " could not be looked up", Next: "check " + resolvConf + " of this host or pod." + e.proxyIgnored()}
	switch {
	case slices.ContainsFunc(e.dns, serverCheck.wantsPlain):
		server := e.dns[slices.IndexFunc(e.dns, serverCheck.wantsPlain)]
		f.What += ": the name server " + server.name() + " " + server.withEDNS0()
		f.Why, f.Next = plainAnswers, setPlain
	case all(serverCheck.silent):
		f.Why = "no name server responds (" + list + "): a network policy or firewall that drops port 53, or a wrong address in " + resolvConf
	case all(func(s serverCheck) bool { return s.a == noName }):
		return finding{} // the lookup says so itself
	case all(func(s serverCheck) bool { return s.a == unreached }):
		f.Why = "no name server can be reached (" + list + "): nothing listens there, or there is no route"
	case all(func(s serverCheck) bool { return s.a == empty && s.aaaa == empty }):
		f.What = "the name " + host + " exists, but has no address"
		f.Why, f.Next = "a typing error in MONITE_API_URL, or an incomplete DNS zone", "check MONITE_API_URL"
	default:
		f.Why = strings.Join(words, "; ")
	}
	return f
}
