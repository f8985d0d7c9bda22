package routes

import "strings"

// Rules are the compiled rules of one identity; immutable.
type Rules struct {
	published []uint8          // by route: the methods that are permitted
	other     uint8            // of unpublished paths
	denied    map[string]uint8 // of unpublished paths under a resource: what is taken away again
	deny      []Rule           // as they were given, for Denying
}

// Compile makes Rules of an allow and a deny list. Deny wins. A nil allow list
// permits everything. Any other refuses what it does not name.
//
// A rule with a resource allows the published paths under it, and denies those and
// the unpublished ones: a path that is not published is not allowed as a side effect.
func Compile(allow, deny []Rule) *Rules {
	permitted := func(speaks func(Rule) bool) uint8 {
		mask := uint8(1<<len(methods) - 1)
		if allow != nil {
			mask = 0
		}
		for _, rule := range allow {
			if speaks(rule) {
				mask |= rule.mask()
			}
		}
		for _, rule := range deny {
			if speaks(rule) {
				mask &^= rule.mask()
			}
		}
		return mask
	}
	rules := &Rules{published: make([]uint8, len(Published)), denied: map[string]uint8{}, deny: deny}
	for i, route := range Published {
		rules.published[i] = permitted(func(r Rule) bool { return r.names(route) })
	}
	rules.other = permitted(func(r Rule) bool { return r.target == everything || r.target == unpublished })
	for _, rule := range deny {
		if !strings.HasPrefix(rule.target, "/") {
			rules.denied[rule.target] |= rule.mask()
		}
	}
	return rules
}

// Permits reports whether the rules let a request pass. route is Find's result for
// path. What is not plain is permitted only if it is so in every reading that an
// upstream might give it. One that may be meant for a published path need not be
// allowed as other as well, but a rule that denies other denies it: to an upstream
// that reads it to the letter it is. A trailing slash does not count as another
// spelling, because upstream redirects it.
func (r *Rules) Permits(method, path string, route int) bool {
	mask := uint8(0)
	switch {
	case !plain(path):
		letters := path
		var ok bool
		if path, ok = fold(path); !ok {
			return false
		}
		found := false
		mask = 1<<len(methods) - 1
		tree.visit(strings.TrimPrefix(path, "/"), func(route int) {
			found = true
			mask &= r.published[route]
		})
		switch {
		case !found:
			mask = r.unpublished(path)
		case Find(strings.TrimSuffix(letters, "/")) == Other:
			mask &^= r.denied[unpublished]
		}
	case route == Other:
		mask = r.unpublished(path)
	default:
		mask = r.published[route]
	}
	return mask&bit(method) != 0
}

// unpublished looks a path up that is not published. A denied resource stays denied,
// whatever stands in the place of the version.
func (r *Rules) unpublished(path string) uint8 {
	mask := r.other
	if len(r.denied) == 0 {
		return mask
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	second, _, _ := strings.Cut(rest, "/")
	return mask &^ (r.denied[first] | r.denied[second])
}

// Denying returns the deny rule that refuses a request, as it was written. It is ""
// if there is none: then no allow rule names the request. route is as for Permits.
func (r *Rules) Denying(method, path string, route int) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	for _, rule := range r.deny {
		speaks := rule.target == everything || rule.target == unpublished || rule.target == first
		if route != Other {
			speaks = rule.names(Published[route])
		}
		if speaks && rule.mask()&bit(method) != 0 {
			return rule.method + " " + rule.target
		}
	}
	return ""
}
