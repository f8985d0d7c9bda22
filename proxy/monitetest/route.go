package monitetest

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// node is a tree of path segments. A literal wins over a parameter:
// /entity_users/me is not an entity user called "me".
type node struct {
	literals map[string]*node
	param    *node
	methods  map[string]*schema.Operation
}

var routes = sync.OnceValue(buildRoutes)

func buildRoutes() *node {
	root := &node{}
	operations := schema.Published().Operations
	for i := range operations {
		at := root
		for segment := range strings.SplitSeq(operations[i].Template[1:], "/") {
			at = at.grow(segment)
		}
		if at.methods == nil {
			at.methods = map[string]*schema.Operation{}
		}
		at.methods[operations[i].Method] = &operations[i]
	}
	return root
}

func (n *node) grow(segment string) *node {
	if isParam(segment) {
		if n.param == nil {
			n.param = &node{}
		}
		return n.param
	}
	if n.literals == nil {
		n.literals = map[string]*node{}
	}
	if n.literals[segment] == nil {
		n.literals[segment] = &node{}
	}
	return n.literals[segment]
}

func isParam(segment string) bool { return strings.HasPrefix(segment, "{") }

// find returns the node of a path and the values of its parameters.
func (n *node) find(path string) (*node, []string) {
	if !strings.HasPrefix(path, "/") {
		return nil, nil
	}
	var params []string
	for segment := range strings.SplitSeq(path[1:], "/") {
		next := n.literals[segment]
		if next == nil && n.param != nil && segment != "" {
			next = n.param
			params = append(params, segment)
		}
		if next == nil {
			return nil, nil
		}
		n = next
	}
	if n.methods == nil {
		return nil, nil
	}
	return n, params
}

// checkRoute refuses what is not published.
func checkRoute(c *call) *answer {
	if c.at == nil {
		if trimmed, ok := strings.CutSuffix(c.r.URL.Path, "/"); ok {
			if twin, _ := routes().find(trimmed); twin != nil {
				return redirectSlash(c.r)
			}
		}
		return failure(http.StatusNotFound, "not_found", notPublished(c.r.Method, c.r.URL.Path))
	}
	if c.op == nil {
		var allowed []string
		for method := range c.at.methods {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		return failure(http.StatusMethodNotAllowed, "method_not_allowed", "Method Not Allowed").
			set("Allow", strings.Join(allowed, ", "))
	}
	return nil
}

// redirectSlash responds as Starlette's redirect_slashes does: an absolute URL made
// from the Host of the request, which leads past any sidecar.
func redirectSlash(r *http.Request) *answer {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	path, query, found := strings.Cut(r.URL.RequestURI(), "?")
	location := scheme + "://" + r.Host + strings.TrimSuffix(path, "/")
	if found {
		location += "?" + query
	}
	return (&answer{status: http.StatusTemporaryRedirect}).set("Location", location)
}
