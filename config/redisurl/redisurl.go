// Package redisurl reads the URL of a Redis or Valkey server, of a Cluster, or of
// the Sentinels that know where it is.
package redisurl

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// Forms are examples of what Parse takes, for messages.
const Forms = "redis://cache:6379, rediss://user@cache:6380/0, unix:/run/redis.sock or redis+sentinel://s1:26379,s2:26379/mymaster"

// Address says where the server is and who asks.
type Address struct {
	// Hosts are host:port, tried in order; with Sentinel those of the Sentinels. Of
	// a unix socket the one path.
	Hosts []string
	Unix  bool
	TLS   bool // TLS 1.2 or later
	// Master is the name by which the Sentinels know the server. Empty: no Sentinels.
	Master   string
	DB       int
	User     string // of an ACL; empty: the default user
	Password secret.String
	shown    string
}

// String is the URL without user and password.
func (a Address) String() string { return a.shown }

// Ports are those that connections go to: of the hosts, in order, each once.
func (a Address) Ports() (ports []uint16) {
	for _, host := range a.Hosts {
		_, text, err := net.SplitHostPort(host)
		port, parseErr := strconv.ParseUint(text, 10, 16)
		if err == nil && parseErr == nil && !slices.Contains(ports, uint16(port)) {
			ports = append(ports, uint16(port))
		}
	}
	return ports
}

// schemes are what a URL begins with. Valkey is spoken to as Redis is.
var schemes = map[string]Address{
	"redis":            {},
	"rediss":           {TLS: true},
	"redis+sentinel":   {Master: "?"},
	"rediss+sentinel":  {Master: "?", TLS: true},
	"valkey":           {},
	"valkeys":          {TLS: true},
	"valkey+sentinel":  {Master: "?"},
	"valkeys+sentinel": {Master: "?", TLS: true},
}

// Parse reads a URL. The error is a fixed text that begins with "it", and holds
// nothing of the URL.
func Parse(url secret.String) (Address, error) {
	rest, user, password, ok := url.UserInfo()
	scheme, after, hasScheme := strings.Cut(rest, "://")
	if path, isUnix := strings.CutPrefix(rest, "unix:"); ok && isUnix {
		path = "/" + strings.TrimLeft(path, "/")
		if path == "/" || strings.ContainsAny(path, "?#") {
			return Address{}, errors.New("it has no path")
		}
		return Address{Hosts: []string{path}, Unix: true, shown: "unix:" + path}, nil
	}
	a, known := schemes[scheme]
	if !ok || !hasScheme || !known {
		return Address{}, errors.New("it does not begin with one of these")
	}
	if strings.ContainsAny(after, "?#") {
		return Address{}, errors.New("it has a query or a fragment")
	}
	a.User, a.Password = user, password
	hosts, path, _ := strings.Cut(after, "/")
	port := "6379"
	if a.Master != "" {
		port = "26379"
		a.Master, path, _ = strings.Cut(path, "/")
		if a.Master == "" {
			return Address{}, errors.New("it names no master")
		}
	}
	for text := range strings.SplitSeq(hosts, ",") {
		host, err := hostPort(text, port)
		if err != nil {
			return Address{}, err
		}
		a.Hosts = append(a.Hosts, host)
	}
	if path != "" {
		db, err := strconv.ParseUint(path, 10, 16)
		if err != nil {
			return Address{}, errors.New("its database is not a number")
		}
		a.DB = int(db)
	}
	a.shown = scheme + "://" + strings.Join(a.Hosts, ",")
	if a.Master != "" {
		a.shown += "/" + a.Master
	}
	if a.DB != 0 || a.Master == "" && path != "" {
		a.shown += "/" + strconv.Itoa(a.DB)
	}
	return a, nil
}

// hostPort completes host[:port].
func hostPort(text, port string) (string, error) {
	host := text
	if i := strings.LastIndexByte(text, ':'); i >= 0 && !strings.HasSuffix(text, "]") {
		host, port = text[:i], text[i+1:]
	}
	bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	if bracketed {
		host = host[1 : len(host)-1]
		if net.ParseIP(host) == nil {
			return "", errors.New("it has no host")
		}
	}
	if host == "" || !bracketed && strings.ContainsAny(host, ":[]@% \t") {
		return "", errors.New("it has no host")
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return "", errors.New("its port is not valid")
	}
	return net.JoinHostPort(host, port), nil
}
