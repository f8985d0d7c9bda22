package named

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/config/watch"
	"github.com/monite-proxy/monite-proxy/internal/listen"
)

// Follow takes over every change of the file until ctx ends.
func (k *Keeper) Follow(ctx context.Context) {
	if k.Settings.IdentitiesPath() == "" {
		return
	}
	files := watch.Files{
		Paths: []string{k.Settings.IdentitiesPath()}, Check: func() { k.Reload() },
		Trouble: func(err error) { k.Log.Warn().Err(err).Msg("the identities file is polled, not watched") },
	}
	files.Run(ctx)
}

// Reload reads the file and takes the change over whole, or keeps everything as
// it is and says why. It reports whether anything has changed.
func (k *Keeper) Reload() (changed bool) {
	if k.Settings.IdentitiesPath() == "" {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	named, err := k.Settings.ReadIdentities()
	if err == nil && named.Same(k.current) {
		if k.trouble != "" {
			k.Log.Info().Msg("the identities file can be used again")
		}
		k.setTrouble("")
		return false
	}
	if err == nil {
		err = k.takeOver(named)
	}
	if err != nil {
		if text := err.Error(); text != k.trouble { // not again with every poll
			k.setTrouble(text)
			k.Reloaded(false)
			k.Log.Error().Strs("mistakes", mistakesOf(err)).Msg("the identities file cannot be used; the old identities stay in use")
		}
		return false
	}
	k.setTrouble("")
	k.Reloaded(true)
	for _, warning := range named.Warnings {
		k.Log.Warn().Msg(warning)
	}
	k.Log.Info().Int("identities", len(named.All)).Int("listeners", len(k.endpoints)).Msg("identities file changed")
	return true
}

// setTrouble is called with mu held.
func (k *Keeper) setTrouble(text string) {
	k.trouble = text
	k.stale.Store(text != "")
}

func mistakesOf(err error) (lines []string) {
	if all, ok := errors.AsType[*config.Error](err); ok {
		for _, mistake := range all.Mistakes {
			lines = append(lines, mistake.String())
		}
		return lines
	}
	return []string{err.Error()}
}

// takeOver does what can fail first, then sets the policy, then changes the
// listeners: a new one is served once its identity is known, and an old one is
// closed once its identity is gone.
func (k *Keeper) takeOver(named *config.Identities) error {
	if err := k.stillOpen(named); err != nil {
		return err
	}
	opened, err := k.openMissing(named)
	if err != nil {
		return err
	}
	next, err := k.narrow(named)
	if err != nil {
		for _, e := range opened {
			_ = e.listener.Close()
		}
		return err
	}
	k.pause(next)
	old := k.endpoints
	k.endpoints = maps.Clone(old)
	maps.Copy(k.endpoints, next)
	maps.Copy(k.endpoints, opened)
	wanted := keys(named)
	maps.DeleteFunc(k.endpoints, func(at string, _ *endpoint) bool { return !wanted[at] })
	k.SetPolicy(policy(k.Settings, named, func(at config.Listen) string {
		if e := k.endpoints[keyOf(at)]; e != nil {
			return e.key
		}
		return ""
	}))
	k.current = named
	k.shown.Store(named)
	var gone, replaced []*endpoint
	for at, e := range old {
		switch {
		case k.endpoints[at] == nil:
			gone = append(gone, e)
		case next[at] != nil:
			replaced = append(replaced, e)
		}
	}
	for _, fresh := range []map[string]*endpoint{next, opened} {
		for _, e := range fresh {
			if k.open {
				k.serveOn(e)
			}
		}
	}
	k.widen(next)
	k.stop(gone)
	k.letEnd(append(gone, replaced...))
	return nil
}

// stillOpen refuses a listener that overlaps with one it replaces. The system
// does not let 0.0.0.0:8091 be opened beside 127.0.0.1:8091, and closing the old
// listener first would refuse connections, for good if the new one fails.
func (k *Keeper) stillOpen(named *config.Identities) error {
	for _, identity := range named.All {
		if key := keyOf(identity.Listen); key == "" || k.endpoints[key] != nil || k.current == nil {
			continue
		}
		for _, old := range k.current.All {
			if old.Listen.Network != "" && identity.Listen.Overlaps(old.Listen) {
				return fmt.Errorf("MONITE_IDENTITIES_FILE: listen_addr of %s overlaps with the listener of %s, which is still open: "+
					"remove it in one change and add it in the next", identity.Name, old.Name)
			}
		}
	}
	return nil
}

func keys(named *config.Identities) map[string]bool {
	keys := map[string]bool{}
	for _, identity := range named.All {
		if key := keyOf(identity.Listen); key != "" {
			keys[key] = true
		}
	}
	return keys
}

// openMissing opens the listeners of named that are not open yet, all or none.
func (k *Keeper) openMissing(named *config.Identities) (map[string]*endpoint, error) {
	opened := map[string]*endpoint{}
	for _, identity := range named.All {
		key := keyOf(identity.Listen)
		if key == "" || k.endpoints[key] != nil {
			continue
		}
		e, err := k.openEndpoint(identity)
		if err != nil {
			for _, e := range opened {
				_ = e.listener.Close()
			}
			return nil, fmt.Errorf("MONITE_IDENTITIES_FILE: listen_addr of %s: %w", identity.Name, err)
		}
		opened[key] = e
	}
	return opened, nil
}

func (k *Keeper) openEndpoint(of config.Identity) (*endpoint, error) {
	on, err := listen.Open(of.Listen, k.Options(of.Listen, of.SocketMode))
	if err != nil {
		return nil, err
	}
	return k.newEndpoint(on, of), nil
}

// stop stops the listeners of endpoints. When it returns, their addresses are free
// again.
func (k *Keeper) stop(gone []*endpoint) {
	if !k.open { // a reload during the start: Stop would wait for an Accept that never comes
		for _, e := range gone {
			_ = e.listener.Close()
		}
		return
	}
	var stopping sync.WaitGroup
	for _, e := range gone {
		stopping.Go(e.listener.Stop)
	}
	stopping.Wait()
}

// letEnd closes the idle connections of servers that get no more, and lets their
// requests end.
func (k *Keeper) letEnd(left []*endpoint) {
	if !k.open {
		return
	}
	for _, e := range left {
		k.leaving.Go(func() {
			ctx, cancel := context.WithTimeout(k.life, k.Settings.DrainTimeout)
			defer cancel()
			if e.server.Shutdown(ctx) != nil {
				_ = e.server.Close()
			}
		})
	}
}
