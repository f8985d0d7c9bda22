package routes

import (
	"errors"
	"slices"
	"strings"
)

// methods are those that are forwarded; the index is the bit in a mask.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// Words that a rule may have in the place of a resource or a template.
const (
	everything  = "*"
	unpublished = "other" // every path that Monite does not publish
)

// Rule is one line of an allow or deny list: "GET payables".
type Rule struct {
	method string // or "*"
	target string // "*", "other", a resource, or a template
}

// What can be wrong with a rule.
var (
	errForm   = errors.New("it is not a method and a target with one space between them")
	errMethod = errors.New("it does not begin with GET, HEAD, POST, PUT, PATCH, DELETE or *")
	ErrTarget = errors.New("it names nothing that Monite publishes")
)

// Targets are the words that may follow the method: "*", "other", the resources
// and the templates, in this order.
func Targets() []string { return slices.Clone(targets) }

var targets = func() []string {
	all := []string{everything, unpublished}
	for _, route := range Published {
		if name := resource(route.Template); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	for _, route := range Published {
		all = append(all, route.Template)
	}
	return all
}()

// resource is the first segment after /v1 of a published template.
func resource(template string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(template, "/v1/"), "/")
	return name
}

// ParseRule reads a rule. The error is one of those above.
func ParseRule(text string) (Rule, error) {
	method, target, ok := strings.Cut(text, " ")
	switch {
	case !ok || target == "" || strings.ContainsAny(target, " \t\r\n"):
		return Rule{}, errForm
	case method != everything && !slices.Contains(methods, method):
		return Rule{}, errMethod
	case !slices.Contains(targets, target):
		return Rule{}, ErrTarget
	}
	return Rule{method, target}, nil
}

// mask is the methods that the rule means. A rule for GET includes HEAD, which asks
// for the same.
func (r Rule) mask() uint8 {
	switch r.method {
	case everything:
		return 1<<len(methods) - 1
	case "GET":
		return bit("GET") | bit("HEAD")
	}
	return bit(r.method)
}

// bit is 0 for a method that is not forwarded, and such a method is in no mask.
func bit(method string) uint8 {
	for i, name := range methods {
		if name == method {
			return 1 << i
		}
	}
	return 0
}

// names reports whether the rule speaks of a published route.
func (r Rule) names(route Route) bool {
	return r.target == everything || r.target == route.Template || r.target == resource(route.Template)
}
