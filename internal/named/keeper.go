package named

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/listen"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
)

// Config configures a Keeper. All fields are required.
type Config struct {
	Settings *config.Config
	Log      zerolog.Logger
	// SetPolicy is told what a changed file allows.
	SetPolicy func(identity.Policy)
	// NewServer makes the server of one listener. The policy knows the listener by
	// that key.
	NewServer func(key string) listen.Server
	// Options say who may connect to a listener; mode is that of a unix socket.
	Options func(at config.Listen, mode fs.FileMode) listen.Options
	// Reloaded is told of each change of the file, and whether it is in force.
	Reloaded func(ok bool)
}

// Keeper keeps the named identities, and their listeners, in step with the file.
// A change is taken over whole or not at all.
type Keeper struct {
	Config
	failed chan<- error // a listener has failed

	// life ends when the requests that are left behind removed listeners are cut off.
	life context.Context
	cut  context.CancelFunc

	mu        sync.Mutex // one reload at a time; guards what follows
	current   *config.Identities
	endpoints map[string]*endpoint // by address
	// generations counts the servers that each address has had.
	generations map[string]int
	open        bool   // endpoints are served
	closed      bool   // for good
	trouble     string // the failure that was reported

	shown   atomic.Pointer[config.Identities] // current, for readers that must not wait for a reload
	stale   atomic.Bool                       // trouble is not empty
	serving sync.WaitGroup
	leaving sync.WaitGroup // removed endpoints, whose requests may still end
}

// endpoint is the listener of one identity, and its server. A connection belongs to
// the generation in which it was accepted (generation.go).
type endpoint struct {
	generation
	listener *listen.Listener
	server   listen.Server
	at       config.Listen
	key      string // of this generation, for the policy
}

// New makes a Keeper of the identities that the configuration has read. Nothing is
// open yet.
func New(c Config) *Keeper {
	k := &Keeper{Config: c, current: c.Settings.Identities, endpoints: map[string]*endpoint{}, generations: map[string]int{}}
	k.life, k.cut = context.WithCancel(context.Background())
	k.shown.Store(k.current)
	return k
}

// Listen opens the listeners of the start, or none.
func (k *Keeper) Listen() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil {
		return nil
	}
	opened, err := k.openMissing(k.current)
	maps.Copy(k.endpoints, opened)
	return err
}

// Close closes the listeners of a start that fails.
func (k *Keeper) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.endpoints {
		_ = e.listener.Close()
	}
}

// Serve begins to serve the listeners. failed is told of the first that fails; it
// needs room for one error.
func (k *Keeper) Serve(failed chan<- error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed, k.open = failed, true
	for _, e := range k.endpoints {
		k.serveOn(e)
	}
	if k.current != nil {
		k.Log.Info().Int("identities", len(k.current.All)).Strs("listeners", slices.Sorted(maps.Keys(k.endpoints))).Msg("named identities")
	}
}

func (k *Keeper) serveOn(e *endpoint) {
	if warning := e.listener.Warning(); warning != "" {
		k.Log.Warn().Str("socket", e.at.Address).Msg(warning)
	}
	k.serving.Go(func() {
		if err := e.listener.Serve(e.server); err != nil {
			select {
			case k.failed <- fmt.Errorf("%s: %w", e.at, err):
			default: // another one has failed already
			}
		}
	})
}

// Stop stops accepting, for good.
func (k *Keeper) Stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	var stopping sync.WaitGroup
	for _, e := range k.endpoints {
		stopping.Go(e.listener.Stop)
	}
	stopping.Wait()
}

// Shutdown lets every accepted request end, also behind listeners that were
// removed just now. It reports false if ctx ended before they did; CutOff ends them
// then. It follows Stop.
func (k *Keeper) Shutdown(ctx context.Context) bool {
	var ending sync.WaitGroup
	var late atomic.Bool
	left := make(chan struct{})
	go func() { // ends with CutOff at the latest
		k.leaving.Wait()
		close(left)
	}()
	ending.Go(func() {
		select {
		case <-left:
		case <-ctx.Done():
			late.Store(true)
		}
	})
	for _, e := range k.endpoints { // closed once they no longer change
		ending.Go(func() {
			if e.server.Shutdown(ctx) != nil {
				late.Store(true)
			}
		})
	}
	ending.Wait()
	return !late.Load()
}

// Cut lets requests end until ctx does, then closes what is still open, at any time
// after Serve.
func (k *Keeper) Cut(ctx context.Context) {
	k.mu.Lock()
	endpoints := slices.Collect(maps.Values(k.endpoints))
	k.mu.Unlock()
	var ending sync.WaitGroup
	for _, e := range endpoints {
		ending.Go(func() { _ = e.server.Shutdown(ctx) })
	}
	ending.Wait()
	k.close()
}

func (k *Keeper) close() {
	k.cut()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.endpoints {
		_ = e.server.Close()
	}
}

// CutOff closes what is still open, and returns once nothing of it runs. It follows
// Stop.
func (k *Keeper) CutOff() {
	k.close()
	k.leaving.Wait()
	k.serving.Wait()
}
