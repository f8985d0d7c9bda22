package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/monite-proxy/monite-proxy/internal/ids"
)

// AllowList says which ids an app may name. The zero value allows none.
type AllowList struct {
	any bool
	ids map[string]struct{} // lower-case UUIDs; never changed once built
}

// Any reports whether every well-formed id is allowed.
func (l AllowList) Any() bool { return l.any }

// Contains reports whether the id is allowed, in upper or lower case. What is
// not a UUID never is, not even with Any.
func (l AllowList) Contains(id string) bool {
	id, ok := ids.Parse(id)
	if !ok {
		return false
	}
	_, found := l.ids[id]
	return l.any || found
}

// IDs returns the ids that are named, sorted. With Any they are not all.
func (l AllowList) IDs() []string { return slices.Sorted(maps.Keys(l.ids)) }

func buildID(name, text string, wrong *mistakes) string {
	if text == "" {
		return ""
	}
	id, ok := ids.Parse(text)
	if !ok {
		wrong.refuse(name, "")
	}
	return id
}

// buildAllowList adds the default id, which needs no permission of its own.
func buildAllowList(name, text, defaultID string, wrong *mistakes) AllowList {
	list := AllowList{ids: map[string]struct{}{}}
	if defaultID != "" {
		list.ids[defaultID] = struct{}{}
	}
	switch strings.Trim(text, " ") {
	case "":
		if text != "" {
			wrong.refuse(name, "")
		}
		return list
	case "*":
		list.any = true
		return list
	}
	for element := range strings.SplitSeq(text, ",") {
		id, ok := ids.Parse(strings.Trim(element, " "))
		if !ok {
			wrong.refuse(name, "")
			return list
		}
		list.ids[id] = struct{}{}
	}
	return list
}
