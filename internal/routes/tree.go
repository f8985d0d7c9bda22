package routes

import "strings"

// Other stands for every path that Monite does not publish.
const Other = -1

// node is one segment in the tree of published templates.
type node struct {
	route  int // index of the route that ends here; Other if none does
	static map[string]*node
	param  *node // {anything}
}

var tree = newTree(Published)

func newTree(published []Route) *node {
	root := &node{route: Other}
	for i, route := range published {
		at := root
		for segment := range strings.SplitSeq(route.Template[1:], "/") {
			at = at.child(segment)
		}
		at.route = i
	}
	return root
}

func (n *node) child(segment string) *node {
	if strings.HasPrefix(segment, "{") {
		if n.param == nil {
			n.param = &node{route: Other}
		}
		return n.param
	}
	if n.static == nil {
		n.static = map[string]*node{}
	}
	if n.static[segment] == nil {
		n.static[segment] = &node{route: Other}
	}
	return n.static[segment]
}

// Find returns the index in Published of a path as it stands in the request
// target, or Other. A name that is published as it stands wins over a parameter.
func Find(path string) int {
	if !strings.HasPrefix(path, "/") {
		return Other
	}
	return tree.match(path[1:])
}

// Template is the published template of a route, or "other". The set of names
// is bounded.
func Template(route int) string {
	if route == Other {
		return "other"
	}
	return Published[route].Template
}

func (n *node) match(rest string) int {
	segment, rest, more := strings.Cut(rest, "/")
	if segment == "" {
		return Other
	}
	for _, next := range [...]*node{n.static[segment], n.param} {
		switch {
		case next == nil:
		case !more:
			if next.route != Other {
				return next.route
			}
		default:
			if route := next.match(rest); route != Other {
				return route
			}
		}
	}
	return Other
}
