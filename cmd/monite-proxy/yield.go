package main

import (
	"fmt"
	"slices"

	"github.com/monite-proxy/monite-proxy/config"
)

// yield closes those doors that named does not have and whose address a new one
// overlaps: the system does not let 0.0.0.0:8091 be opened beside
// 127.0.0.1:8091. Between that and the opening a connection is refused.
//
// A socket of the service manager stays bound whatever is closed here.
func (i *identities) yield(named *config.Identities) (yielded []*door) {
	wanted := doorKeys(named)
	for key, d := range i.doors {
		inTheWay := func(identity config.Identity) bool {
			return i.doors[doorKey(identity.Listen)] == nil && identity.Listen.Overlaps(d.at)
		}
		if !wanted[key] && !d.on.kept && slices.ContainsFunc(named.All, inTheWay) {
			yielded = append(yielded, d)
		}
	}
	for _, d := range yielded {
		delete(i.doors, doorKey(d.at))
	}
	i.close(yielded)
	return yielded
}

// takeBack opens again what has yielded in vain, and adds to why what cannot be
// opened any more.
func (i *identities) takeBack(yielded []*door, why error) error {
	for _, d := range yielded {
		again, err := i.openDoor(d.at, d.mode)
		if err != nil {
			why = fmt.Errorf("%w; the listener %s was closed for it and cannot be opened again: %w", why, d.at, err)
			continue
		}
		i.doors[doorKey(d.at)] = again
		if i.open {
			i.serveOn(again)
		}
	}
	return why
}

// complete reports whether every door of named is open.
func (i *identities) complete(named *config.Identities) bool {
	for key := range doorKeys(named) {
		if i.doors[key] == nil {
			return false
		}
	}
	return true
}

func doorKeys(named *config.Identities) map[string]bool {
	keys := map[string]bool{}
	for _, identity := range named.All {
		if key := doorKey(identity.Listen); key != "" {
			keys[key] = true
		}
	}
	return keys
}
