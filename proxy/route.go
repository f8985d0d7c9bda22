package proxy

import "strings"

// otherRoute labels every path that Monite does not publish.
const otherRoute = "other"

// routeNode is one segment in the tree of published templates.
type routeNode struct {
	template string // of the route that ends here; empty if none does
	static   map[string]*routeNode
	param    *routeNode // {anything}
}

var routes = newRouteTree(publishedRoutes)

func newRouteTree(published []publishedRoute) *routeNode {
	root := &routeNode{}
	for _, route := range published {
		node := root
		for segment := range strings.SplitSeq(route.Template[1:], "/") {
			node = node.child(segment)
		}
		node.template = route.Template
	}
	return root
}

func (n *routeNode) child(segment string) *routeNode {
	if strings.HasPrefix(segment, "{") {
		if n.param == nil {
			n.param = &routeNode{}
		}
		return n.param
	}
	if n.static == nil {
		n.static = map[string]*routeNode{}
	}
	if n.static[segment] == nil {
		n.static[segment] = &routeNode{}
	}
	return n.static[segment]
}

// RouteTemplate names a path as it stands in the request target: Monite's
// published template, or "other". The set of names is bounded. A name that is
// published as it stands wins over a parameter.
func RouteTemplate(path string) string {
	if !strings.HasPrefix(path, "/") {
		return otherRoute
	}
	if template := routes.match(path[1:]); template != "" {
		return template
	}
	return otherRoute
}

func (n *routeNode) match(rest string) string {
	segment, rest, more := strings.Cut(rest, "/")
	if segment == "" {
		return ""
	}
	for _, next := range [...]*routeNode{n.static[segment], n.param} {
		switch {
		case next == nil:
		case !more:
			if next.template != "" {
				return next.template
			}
		default:
			if template := next.match(rest); template != "" {
				return template
			}
		}
	}
	return ""
}
