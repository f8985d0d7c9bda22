package identity

import (
	"slices"
	"strings"

	"github.com/monite-proxy/monite-proxy/internal/routes"
	"github.com/monite-proxy/monite-proxy/proxy/target"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Allowed says which ids an app may name.
type Allowed interface {
	Contains(id string) bool // id is a lower-case UUID
}

// Policy holds what the operator allows. Ids are lower-case UUIDs. It is not changed
// once there is a View of it.
type Policy struct {
	// Default is the grant of a request that names no entity user and no identity.
	Default tokencache.Grant
	// EntityID is sent where the app names none. Empty: no entity header then.
	EntityID string
	// Entities and EntityUsers an app may name. nil: none.
	Entities, EntityUsers Allowed
	// Pairs are the entity users that belong to one entity: user -> entity. Such a
	// user is never sent with another one, even if the request names it.
	Pairs map[string]string
	// Named are the identities that an app reaches by listener, path prefix or
	// name.
	Named []Named
}

// Named is an identity by name. A request that reaches one is sent as it or
// refused; it never falls back to the default.
type Named struct {
	Name  string
	Grant tokencache.Grant
	// EntityID is sent where the app names none. Empty: no entity header then.
	EntityID string
	// Entities an app may name, EntityID included. nil: none.
	Entities Allowed
	// APIVersion is added where the app sent none. Empty: the default one.
	APIVersion string
	// PathPrefix is like /as/billing, without a slash at its end. Empty: none.
	PathPrefix string
	// Listener is the key of its own listener. Empty: none.
	Listener string
	// ByName: X-Monite-Identity reaches it on the main listener.
	ByName bool
	// ReadOnly refuses all but GET and HEAD.
	ReadOnly bool
	// Rules say what it may call. nil: everything.
	Rules *routes.Rules
	// AuditOnly: what Rules refuse is to be noted and let pass.
	AuditOnly bool
}

// Refuses returns why the identity may not call this, or None. route is the result of
// routes.Find for path.
func (n *Named) Refuses(method, path string, route int) Refusal {
	switch {
	case n == nil:
		return None
	case n.ReadOnly && method != "GET" && method != "HEAD":
		return ReadOnly
	case n.Rules != nil && !n.Rules.Permits(method, path, route):
		return Rule
	}
	return None
}

// View is a Policy, ready to be looked things up in. A request keeps the View
// that it began with.
type View struct {
	Policy
	byName, byListener, byPrefix map[string]*Named
	// depths are the numbers of segments that prefixes have.
	depths []int
	// claimed are the first segments of the prefixes.
	claimed map[string]bool
}

// NewView prepares a policy.
func NewView(policy Policy) *View {
	v := &View{Policy: policy, byName: map[string]*Named{}, byListener: map[string]*Named{}, byPrefix: map[string]*Named{}, claimed: map[string]bool{}}
	for i := range v.Named {
		n := &v.Named[i]
		v.byName[n.Name] = n
		if n.Listener != "" {
			v.byListener[n.Listener] = n
		}
		if n.PathPrefix == "" {
			continue
		}
		v.byPrefix[n.PathPrefix] = n
		if depth := strings.Count(n.PathPrefix, "/"); !slices.Contains(v.depths, depth) {
			v.depths = append(v.depths, depth)
		}
		first, _, _ := strings.Cut(n.PathPrefix[1:], "/")
		v.claimed[first] = true
	}
	return v
}

// HasListeners reports whether an identity has a listener of its own.
func (v *View) HasListeners() bool { return len(v.byListener) > 0 }

// Cut takes the prefix of an identity off a path, byte for byte. n is nil if
// it has none. ok is false for a path that nearly has one: "/as/Billing/v1/x"
// must not go out as the default identity.
func (v *View) Cut(path string) (n *Named, rest string, ok bool) {
	if len(v.depths) == 0 || strings.HasPrefix(path, "/v1/") || path == "" || path[0] != '/' {
		return nil, path, true
	}
	for _, depth := range v.depths {
		end := segmentsEnd(path, depth)
		if n := v.byPrefix[path[:end]]; n != nil {
			return n, path[end:], !v.claims(path[end:])
		}
	}
	return nil, path, !v.claims(path)
}

// claims reports whether the first segment of a path is that of a prefix, in
// whatever spelling.
func (v *View) claims(path string) bool {
	first, _, _ := strings.Cut(path[1:], "/")
	if v.claimed[first] {
		return true
	}
	folded, ok := target.Folded(first)
	return ok && v.claimed[folded] // a path with a segment that is not ok is refused anyhow
}

// segmentsEnd returns the index of the slash after the first depth segments; 0 if
// there is none.
func segmentsEnd(path string, depth int) int {
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return 0
}
