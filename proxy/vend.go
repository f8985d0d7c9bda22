package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// vendLeast is the lifetime that a vended token should have left. Monite's React
// components ask for a new one every ten minutes, whatever expires_in says; the rest
// is for the way there. A token with less is replaced first, if one is to be had.
const vendLeast = 11 * time.Minute

// vendBodyTimeout limits the time for the body of a token request.
const vendBodyTimeout = 5 * time.Second

// VendSource gives tokens that are taken away. tokencache.Cache is one.
type VendSource interface {
	// Lasting returns a token and how long it lives: wish, if that can be had.
	Lasting(ctx context.Context, grant tokencache.Grant, wish time.Duration) (secret.String, time.Duration, error)
}

// VendConfig configures a Vendor.
type VendConfig struct {
	Tokens VendSource
	// Users are those whose tokens are handed out; Default is the user of a request
	// that names none, lower-case UUID. Empty: such a request is refused.
	Users   identity.Allowed
	Default string
	// AllowedHosts, Bound and AppToken are as in Config.
	AllowedHosts []string
	Bound        netip.Addr
	AppToken     func() secret.String
	// MaxInFlight requests, 503 above it. At least 1.
	MaxInFlight int64
	Log         zerolog.Logger
	// Audit gets one line per request: which caller asked, for which user, and with
	// what outcome.
	Audit zerolog.Logger
	// Listener is the name of this listener in that line.
	Listener string
	// Observe is called at the end of each request. May be nil.
	Observe func(*Record)
}

// Vendor serves the vend listener: it hands the raw access tokens of allowed
// entity users to a backend that passes them to Monite's own components in a
// browser. It never hands out the partner's token, which may do everything.
type Vendor struct {
	config VendConfig
	guard  *guard
	log    accessLog
}

// NewVendor makes a Vendor. It panics without Tokens or Users.
func NewVendor(config VendConfig) *Vendor {
	if config.Tokens == nil || config.Users == nil {
		panic("proxy: VendConfig needs Tokens and Users")
	}
	return &Vendor{
		config: config,
		guard:  &guard{hosts: knownHosts(config.AllowedHosts, config.Bound), appToken: config.AppToken, inside: places{most: max(config.MaxInFlight, 1)}},
		log:    accessLog{log: config.Log, observe: config.Observe, auditLog: config.Audit, listener: config.Listener},
	}
}

func (v *Vendor) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	now := time.Now()
	_ = http.NewResponseController(w).SetWriteDeadline(now.Add(progressTimeout))
	c := v.log.begin(nil, w, in, now)
	defer c.end()
	c.atDoor = true
	if p := v.check(in); p != nil {
		c.refuse(c.refused(p))
		return
	}
	c.atDoor = false
	c.record.Route = tokenPath
	if failure := v.guard.enter("", true); failure != nil {
		c.refuse(failure)
		return
	}
	defer v.guard.inside.leave("", true)
	v.vend(c)
}

// check returns why the request is refused, or nil: as the guard of the data
// listener does, up to what is asked.
func (v *Vendor) check(in *http.Request) *problem {
	path, _, _ := strings.Cut(in.RequestURI, "?")
	if v.guard.fromPage(in) {
		return &problemBrowser
	}
	if p := v.guard.checkCaller(in, path); p != nil {
		return p
	}
	switch {
	case in.RequestURI != tokenPath:
		return &problemVendPath
	case in.Method != http.MethodPost:
		return &problemVendMethod
	case in.ContentLength > maxTokenRequest:
		return &problemVendBody
	// The user is named in the body. A request that names one here as well may mean
	// another.
	case len(in.Header[identity.HeaderUser]) > 0 || len(in.Header[identity.HeaderName]) > 0:
		return &problemVendRequest
	}
	return refusalProblem(identity.CheckFields(in.Header))
}

// vend hands out one token.
func (v *Vendor) vend(c *call) {
	grant, p := v.grantOf(c.w, c.in)
	if p != nil {
		c.refuse(notSent(p))
		return
	}
	c.identity.Grant, c.record.GrantType = grant, string(grant.Type)
	c.record.AppToken = v.guard.wantsAppToken() // and has seen it
	start := time.Now()
	token, left, err := v.config.Tokens.Lasting(c, grant, vendLeast)
	c.record.TokenWait = time.Since(start)
	if err != nil {
		c.fail(err)
		return
	}
	seconds := int64(left / time.Second) // down: never a second more than it has
	c.record.Status, c.record.Origin = http.StatusOK, OriginProxy
	c.record.ResponseBytes = writeToken(c.w, token, seconds)
	v.config.Log.Info().Str("listener", v.config.Listener).Str("request_id", c.record.RequestID).Str("grant_type", string(grant.Type)).
		Str("entity_user_hash", ids.Hash(grant.EntityUserID)).Int64("expires_in_s", seconds).Msg("token handed out")
}

// grantOf reads the request. It never returns anything but an entity user.
func (v *Vendor) grantOf(w http.ResponseWriter, in *http.Request) (tokencache.Grant, *problem) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(vendBodyTimeout))
	asked, _, err := readTokenBody(in.Body)
	switch {
	case errors.Is(err, errTokenBodyForm), asked.others:
		return tokencache.Grant{}, &problemVendRequest
	case errors.Is(err, errTokenBodyLarge):
		return tokencache.Grant{}, &problemVendBody
	case err != nil:
		return tokencache.Grant{}, &problemBodyRead
	}
	_ = control.SetReadDeadline(time.Time{})
	if asked.GrantType == string(tokencache.ClientCredentials) {
		return tokencache.Grant{}, &problemVendPartner
	}
	id := v.config.Default
	if asked.EntityUserID != "" {
		var ok bool
		if id, ok = ids.Parse(asked.EntityUserID); !ok {
			return tokencache.Grant{}, &problemVendUser
		}
	}
	switch {
	case asked.GrantType != string(tokencache.EntityUser) || id == "":
		return tokencache.Grant{}, &problemVendRequest
	case !v.config.Users.Contains(id):
		return tokencache.Grant{}, &problemEntityUser
	}
	return tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: id}, nil
}
