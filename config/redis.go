package config

import (
	"crypto/x509"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// Redis is the shared store, Redis or Valkey.
type Redis struct {
	// Network is tcp or unix.
	Network string
	// Addresses are tried in order: host:port, or the one path of a socket. With
	// Master they are the addresses of Sentinels.
	Addresses []string
	// Master is the name that Sentinels know the server by. Empty: no Sentinels.
	Master string
	// Database is a number from 0.
	Database int
	TLS      bool
	// RootCAs are the system's roots and those of MONITE_REDIS_CA_FILE. Nil: only the
	// system's.
	RootCAs *x509.CertPool
	// User is the one to log in as. Empty: the server's default user.
	User string
	// Timeout limits an exchange with the store while a request waits; ten times as
	// much otherwise.
	Timeout time.Duration

	scheme   string
	password source
}

// Password returns the password of now: a file is read again, so that one that
// lives for minutes works. The zero String: log in without.
func (r *Redis) Password() secret.String {
	if r.password.file != nil {
		_, _ = r.password.file.Reload() // if it is bad, the last good one stays
	}
	return r.password.current()
}

// String shows scheme, hosts and database, and neither user nor password.
func (r *Redis) String() string {
	if r.Network == "unix" {
		return "unix:" + r.Addresses[0]
	}
	text := r.scheme + "://" + strings.Join(r.Addresses, ",")
	if r.Master != "" {
		text += "/" + r.Master
	}
	return text + "/" + strconv.Itoa(r.Database)
}

const redisURL, redisPassword, redisCAFile = "MONITE_REDIS_URL", "MONITE_REDIS_PASSWORD", "MONITE_REDIS_CA_FILE"

// buildRedis returns nil without a store.
func buildRedis(parsed *spec, wrong *mistakes) *Redis {
	from := buildSource(redisURL, parsed.RedisURL, parsed.RedisURLFile, wrong)
	if from.current().IsZero() {
		for _, name := range []string{redisPassword, redisPassword + "_FILE", redisCAFile, "MONITE_REDIS_TIMEOUT"} {
			if wrong.isSet(name) && !wrong.has(redisURL) && !wrong.has(redisURL+"_FILE") {
				wrong.add(name, "MONITE_REDIS_URL with it, which is not set")
			}
		}
		return nil
	}
	r, password, problem := parseRedis(from.current())
	if problem != "" {
		wrong.add(from.variable(redisURL), named(redisURL).accepts+" ("+problem+")")
		r = &Redis{TLS: true} // what else is wrong is said as well
	}
	r.Timeout = parsed.RedisTimeout
	r.password = buildSource(redisPassword, parsed.RedisPassword, parsed.RedisPasswordFile, wrong)
	if !password.IsZero() && !r.password.current().IsZero() {
		wrong.add(r.password.variable(redisPassword), "it unset, because MONITE_REDIS_URL has a password")
	}
	if !password.IsZero() {
		r.password = source{fixed: password}
	}
	if parsed.RedisCAFile != "" && !r.TLS {
		wrong.add(redisCAFile, "MONITE_REDIS_URL to be rediss://")
		return r
	}
	r.RootCAs = buildRoots(redisCAFile, parsed.RedisCAFile, wrong)
	return r
}

// redisSchemes are those of Redis; Valkey's have valkey for redis.
var redisSchemes = map[string]struct{ tls, sentinel bool }{
	"redis": {}, "rediss": {tls: true}, "redis+sentinel": {sentinel: true}, "rediss+sentinel": {tls: true, sentinel: true},
}

// parseRedis reads the URL. net/url refuses several hosts. problem is a fixed
// text, empty if all is well.
func parseRedis(from secret.String) (r *Redis, password secret.String, problem string) {
	text, user, password, ok := from.Userinfo()
	switch {
	case !ok:
		return nil, password, "its user or password is not percent-encoded: write %25 for %"
	case !isPrintable(text):
		return nil, password, "it has a space or a byte that is not printable ASCII in it"
	}
	if path, isUnix := strings.CutPrefix(text, "unix:"); isUnix {
		at, ok := parseSocket(path)
		if !ok {
			return nil, password, "it does not name an absolute path of at most 107 bytes"
		}
		return &Redis{Network: "unix", Addresses: []string{at.Address}, scheme: "unix"}, password, ""
	}
	scheme, rest, found := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	kind, known := redisSchemes[strings.Replace(scheme, "valkey", "redis", 1)]
	if !found || !known {
		return nil, password, "it does not begin with one of these"
	}
	if strings.ContainsAny(rest, "?#") {
		return nil, password, "it has a query or a fragment"
	}
	r = &Redis{Network: "tcp", TLS: kind.tls, User: user, scheme: scheme}
	hosts, path, _ := strings.Cut(rest, "/")
	port := "6379"
	if kind.sentinel {
		port = "26379"
		if r.Master, path, _ = strings.Cut(path, "/"); r.Master == "" {
			return nil, password, "it names no master"
		}
	}
	if path != "" {
		var number number
		if len(path) > 6 || number.Decode(path) != nil {
			return nil, password, "its database is not a number"
		}
		r.Database = int(number)
	}
	r.Addresses, problem = redisHosts(hosts, port)
	return r, password, problem
}

// redisHosts reads host[:port],host[:port].
func redisHosts(text, defaultPort string) (addresses []string, problem string) {
	for one := range strings.SplitSeq(text, ",") {
		host, port := one, defaultPort
		if i := strings.LastIndexByte(one, ':'); i > strings.LastIndexByte(one, ']') {
			host, port = one[:i], one[i+1:]
		}
		if host == "" {
			return nil, "it has no host"
		}
		if number, ok := parsePort(port); !ok || number == 0 {
			return nil, "its port is not valid"
		}
		host, ok := parseHost(host)
		if !ok {
			return nil, "its host is not valid"
		}
		addresses = append(addresses, net.JoinHostPort(host, port))
	}
	return addresses, ""
}

// dangers returns the warnings about the store.
func (r *Redis) dangers(clientSecret secret.String) (said []string) {
	for _, address := range r.Addresses {
		host, _, _ := net.SplitHostPort(address)
		if r.Network == "tcp" && !r.TLS && !isLoopbackHost(host) {
			said = append(said, "MONITE_REDIS_URL is redis:// to another host: the tokens in it are sealed, the password and the budget of mints travel in the clear")
			break
		}
	}
	if clientSecret.Len() < shortToken {
		said = append(said, "MONITE_CLIENT_SECRET is shorter than 16 characters: anyone who can read the store of MONITE_REDIS_URL may guess it and then read the tokens there")
	}
	return said
}

// Ports are those of the addresses, for what confines the process. Of a unix socket
// there are none.
func (r *Redis) Ports() (ports []uint16) {
	for _, address := range r.Addresses {
		_, text, err := net.SplitHostPort(address)
		if port, ok := parsePort(text); err == nil && ok && r.Network == "tcp" {
			ports = append(ports, uint16(port))
		}
	}
	return ports
}
