package named

import (
	"fmt"
	"io/fs"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/listen"
)

// generation says for which identity and mode a listener's connections are accepted.
// A reload that changes it gives the listener another server, whose connections the
// policy knows by another key. Those of the old server are refused from then on and
// closed:
//
//	an app connects while the listener is a viewer's; a reload makes it an
//	approver's; the app sends its next request on the connection it has
type generation struct {
	name, grantType, entityUserID, entityID string
	mode                                    fs.FileMode
}

func generationOf(i config.Identity) generation {
	return generation{i.Name, i.GrantType, i.EntityUserID, i.EntityID, i.SocketMode}
}

// newEndpoint makes the next server of a listener. The first has the address as its
// key.
func (k *Keeper) newEndpoint(on *listen.Listener, of config.Identity) *endpoint {
	key := keyOf(of.Listen)
	if k.generations[key]++; k.generations[key] > 1 {
		key = fmt.Sprintf("%s %d", key, k.generations[key]) // an address has no space
	}
	return &endpoint{generation: generationOf(of), listener: on, server: k.NewServer(key), at: of.Listen, key: key}
}

// narrow makes the endpoints whose generation changes, by address. When it returns,
// users that the new mode keeps out cannot connect. Users that it lets in are
// admitted later (widen). It changes all sockets or none.
func (k *Keeper) narrow(named *config.Identities) (map[string]*endpoint, error) {
	next := map[string]*endpoint{}
	var undos []func()
	for _, identity := range named.All {
		at := keyOf(identity.Listen)
		old := k.endpoints[at]
		if old == nil || old.generation == generationOf(identity) {
			continue
		}
		if err := old.listener.SetMode(old.mode & identity.SocketMode); err != nil {
			for _, undo := range undos {
				undo()
			}
			return nil, fmt.Errorf("MONITE_IDENTITIES_FILE: socket_mode of %s: %w", identity.Name, err)
		}
		undos = append(undos, func() { _ = old.listener.SetMode(old.mode) })
		next[at] = k.newEndpoint(old.listener, identity)
	}
	return next, nil
}

// pause ends the old servers' turn. A connection that waits in the kernel's queue
// may be of a user whom the new mode keeps out: it is still the old server's.
func (k *Keeper) pause(next map[string]*endpoint) {
	if !k.open {
		return
	}
	for at, e := range next {
		old := k.endpoints[at]
		e.listener.Pause(old.mode&^e.mode != 0)
	}
}

// widen lets in whom the new mode lets in, once the policy is the new one.
func (k *Keeper) widen(next map[string]*endpoint) {
	for _, e := range next {
		if err := e.listener.SetMode(e.mode); err != nil { // narrow has just changed it
			k.Log.Error().Err(err).Str("socket", e.at.Address).Msg("the socket keeps the narrower mode")
		}
	}
}
