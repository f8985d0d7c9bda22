package config

import (
	"crypto/x509"
	"io/fs"
	"net/url"
	"slices"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/certs"
)

// Config is the environment, read and found right. The defaults and ranges of
// its fields are those of the variables; Table lists them. Only Load makes one;
// it is not changed afterwards.
type Config struct {
	// Environment is sandbox, eu, us, or custom for an origin that is not
	// one of Monite's.
	Environment string
	// Upstream is the origin: scheme and host, and a port if it is not the
	// scheme's own. No path.
	Upstream *url.URL
	// APIVersion is a date such as 2024-05-25.
	APIVersion string
	// RootCAs are the system's roots and those of MONITE_CA_FILE. Nil: only
	// the system's.
	RootCAs *x509.CertPool
	// ProxyFromEnv: HTTPS_PROXY and NO_PROXY count.
	ProxyFromEnv bool

	// Credentials are never empty.
	Credentials Credentials
	// GrantType is client_credentials or entity_user, the default grant.
	GrantType string
	// EntityUserID is a lower-case UUID, the default entity user. Empty: none,
	// which GrantType entity_user excludes.
	EntityUserID string
	// EntityID is a lower-case UUID, the default entity. Empty: none.
	EntityID string
	// AllowedEntityIDs always holds EntityID.
	AllowedEntityIDs AllowList
	// AllowedEntityUserIDs always holds EntityUserID.
	AllowedEntityUserIDs AllowList
	// Identities are those of MONITE_IDENTITIES_FILE at the start; nil without
	// the file. ReadIdentities gives those of now.
	Identities *Identities
	// TokenHandles reports whether POST /v1/auth/token is served here.
	TokenHandles bool

	// Listen is the data listener: on loopback unless AllowRemote.
	Listen      Listen
	Listener    string // strict, std
	AllowRemote bool
	// SocketMode are the permission bits of the data listener's unix socket.
	SocketMode fs.FileMode
	// AllowedPeerUIDs are the users that may connect to it. Nil: the permissions
	// alone decide.
	AllowedPeerUIDs []uint32
	// AllowedHosts are exact Host names in lower case, without port and
	// final dot; IP addresses in canonical form, without brackets. The
	// loopback names and the bound address are not among them.
	AllowedHosts []string
	// Admin never overlaps with Listen.
	Admin Listen
	// Vend overlaps with neither: on loopback unless AllowRemote. The zero Listen:
	// no token is handed out.
	Vend Listen
	// VendSocketMode are the permission bits of the vend listener's unix socket.
	VendSocketMode fs.FileMode
	// VendAllowedPeerUIDs are the users that may connect to it: those of
	// AllowedPeerUIDs, if it has none of its own.
	VendAllowedPeerUIDs []uint32
	ReadOnly            bool

	TokenTimeout    time.Duration // one mint
	RefreshBefore   time.Duration // zero: no refresh ahead of expiry
	HoldTimeout     time.Duration // zero: a request does not wait for a token
	UpstreamTimeout time.Duration // to the response headers
	KeepWarm        time.Duration // of a connection to upstream, after a request; zero: not at all
	ShutdownDelay   time.Duration // zero: drain at once
	DrainTimeout    time.Duration // zero: cut requests off
	MaxIdentities   int
	RepeatGuard     time.Duration // of a write of unknown outcome; zero: off
	IdempotencyTTL  time.Duration // of an Idempotency-Key; zero: the field means nothing
	MintsPerSecond  int           // long-term average
	MaxInFlight     int
	MaxBodyBytes    int64
	ReplayBodyBytes int64 // zero: no body is kept for a replay

	// MaxRequestsPerSecond is the limit of this replica, and of all together with
	// Redis; zero: none.
	MaxRequestsPerSecond int
	// Redis is the shared store. Nil: none.
	Redis *Redis

	QuitEndpoint bool
	StatusPage   bool
	LogLevel     string // trace, debug, info, warn, error
	LogFormat    string // json, console
	Confine      string // auto, off, require
	AuditLog     string // a path; empty: the log
	// Traces is nil if none are exported.
	Traces *Traces

	// Warnings are to be said aloud at the start. They hold no value.
	Warnings []string

	appToken          source
	vendAppToken      source
	clientCertificate *certs.Client // nil: none
	serverTLS         *certs.Server // nil: plain HTTP
	settings          []Setting
	identitiesPath    string // empty: none
}

// AppToken returns the token that apps have to send, the value of now. The zero
// String: none is asked for. Once it is set it never becomes zero.
func (c *Config) AppToken() secret.String { return c.appToken.current() }

// VendAppToken is the app token of the vend listener. It is AppToken unless it is set
// on its own.
func (c *Config) VendAppToken() secret.String {
	if own := c.vendAppToken.current(); !own.IsZero() {
		return own
	}
	return c.AppToken()
}

// Files returns the files that secrets came from, for a secret.Watcher.
func (c *Config) Files() []*secret.File {
	var files []*secret.File
	sources := []source{c.Credentials.id, c.Credentials.secret, c.appToken, c.vendAppToken}
	if c.Redis != nil {
		sources = append(sources, c.Redis.password)
	}
	for _, s := range sources {
		if s.file != nil {
			files = append(files, s.file)
		}
	}
	return files
}

// FollowedFiles are the paths that are read again while the process runs.
func (c *Config) FollowedFiles() []string {
	var paths []string
	for _, file := range c.Files() {
		paths = append(paths, file.Path())
	}
	if c.clientCertificate != nil {
		paths = append(paths, c.clientCertificate.Paths()...)
	}
	if c.identitiesPath != "" {
		paths = append(paths, c.identitiesPath)
	}
	if c.serverTLS != nil {
		paths = append(paths, c.serverTLS.Paths()...)
	}
	return paths
}

// Redacted returns every variable with its effective value, in the order of
// the table. Secrets are "[redacted]" and ids shortened.
func (c *Config) Redacted() []Setting { return slices.Clone(c.settings) }
