package resources

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// imported makes a store of documents by owner and path. It says everything
// that is wrong with them at once.
func (a *API) imported(data map[string]map[string][]Doc) (*state.Store, error) {
	store := &state.Store{}
	store.Seed = func(key state.Key) []Doc {
		if fixed := systemRows[key.Path]; fixed != nil {
			return fixed(key.Owner, a.timestamp())
		}
		return nil
	}
	var mistakes []error
	for _, owner := range slices.Sorted(maps.Keys(data)) {
		for _, path := range slices.Sorted(maps.Keys(data[owner])) {
			for i, d := range data[owner][path] {
				if err := a.importOne(store, owner, path, d); err != nil {
					mistakes = append(mistakes, fmt.Errorf("%s: %s[%d]: %w", owner, path, i, err))
				}
			}
		}
	}
	for owner := range data {
		if owner != "partner" && store.At("", "entities").Get(owner) == nil {
			mistakes = append(mistakes, fmt.Errorf("%s: there is no such entity under partner, entities", owner))
		}
	}
	return store, errors.Join(mistakes...)
}

func (a *API) importOne(store *state.Store, owner, path string, d Doc) error {
	if owner == "partner" {
		owner = ""
	}
	d = schema.Normal(d)
	if id := text(d["id"]); !strings.HasPrefix(path, "_") && !schema.IsUUID(id) {
		return fmt.Errorf("id %q is not a UUID", id)
	}
	if !strings.HasPrefix(path, "_") {
		p := a.placeOf(path)
		if p == nil {
			return errors.New("the API has no such collection")
		}
		if p.item != nil {
			m := &schema.Maker{Now: a.now(), Seed: text(d["id"])}
			if made, ok := m.Project(p.item, d); ok {
				for name, value := range made.(Doc) {
					if _, is := d[name]; !is {
						d[name] = value
					}
				}
			}
			if problems := p.item.Judge(onlyKnown(p.item, d)); len(problems) > 0 {
				return fmt.Errorf("%v: %s", problems[0].Loc, problems[0].Msg)
			}
		}
	}
	store.At(owner, path).Add(d)
	return nil
}

// onlyKnown leaves out what the schema does not name, and nulls of what may be
// left out: exports have more than responses.
func onlyKnown(s *schema.Schema, d Doc) Doc {
	out := Doc{}
	for name, value := range d {
		for _, alternative := range append(s.AnyOf, s) {
			if p := alternative.Property(name); p != nil && (value != nil || p.Required) {
				out[name] = value
			}
		}
	}
	return out
}
