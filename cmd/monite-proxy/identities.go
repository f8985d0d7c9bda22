package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/config/watch"
	"github.com/monite-proxy/monite-proxy/internal/admin"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// identities keeps the named identities and their listeners what the file says.
// A change is taken over whole or not at all.
type identities struct {
	cfg       *config.Config
	log       zerolog.Logger
	metrics   *admin.IdentityMetrics
	setPolicy func(identity.Policy)
	newServer func(key string) server
	serveDoor func(server, *listener) error
	options   func(config.Listen, fs.FileMode) listenOptions
	failed    chan<- error // a door has failed

	// life ends when what is left of removed doors is cut off.
	life context.Context
	cut  context.CancelFunc

	mu       sync.Mutex // one reload at a time; guards what follows
	current  *config.Identities
	vain     *config.Identities // doors yielded to it and it could not be taken over
	doors    map[string]*door   // by key
	open     bool               // doors are served
	closed   bool               // for good
	trouble  string             // the failure that was reported
	watching string             // likewise, of the watch

	shown   atomic.Pointer[config.Identities] // current, for who must not wait for a reload
	stale   atomic.Bool                       // trouble is not empty
	serving sync.WaitGroup
	leaving sync.WaitGroup // removed doors, whose requests may still end
}

// door is the listener of one identity.
type door struct {
	on     *listener
	server server
	at     config.Listen
	mode   fs.FileMode
}

func newIdentities(cfg *config.Config, logger zerolog.Logger, metrics *admin.Metrics) *identities {
	i := &identities{cfg: cfg, log: logger, current: cfg.Identities, doors: map[string]*door{}}
	i.life, i.cut = context.WithCancel(context.Background())
	i.shown.Store(cfg.Identities)
	i.metrics = metrics.CountIdentities(func() int {
		if named := i.shown.Load(); named != nil {
			return len(named.All)
		}
		return 0
	})
	return i
}

// policy is what the configuration and the identities of now allow.
func policy(cfg *config.Config, named *config.Identities) identity.Policy {
	p := identity.Policy{
		Default: defaultGrant(cfg), EntityID: cfg.EntityID, Entities: cfg.AllowedEntityIDs, EntityUsers: cfg.AllowedEntityUserIDs,
		Pairs: cfg.Pairs(named),
	}
	if named == nil {
		return p
	}
	for _, i := range named.All {
		n := identity.Named{
			Name: i.Name, Grant: tokencache.Grant{Type: tokencache.GrantType(i.GrantType), EntityUserID: i.EntityUserID},
			EntityID: i.EntityID, APIVersion: i.APIVersion, PathPrefix: i.PathPrefix, Listener: doorKey(i.Listen),
			ByName: i.ByName, ReadOnly: i.ReadOnly, Rules: i.Rules, AuditOnly: i.AuditOnly,
		}
		if i.AllowedEntityIDs.Any() || len(i.AllowedEntityIDs.IDs()) > 0 {
			n.Entities = i.AllowedEntityIDs
		}
		p.Named = append(p.Named, n)
	}
	return p
}

func defaultGrant(cfg *config.Config) tokencache.Grant {
	grant := tokencache.Grant{Type: tokencache.GrantType(cfg.GrantType)}
	if grant.Type == tokencache.EntityUser {
		grant.EntityUserID = cfg.EntityUserID
	}
	return grant
}

func doorKey(at config.Listen) string {
	if at.Network == "" {
		return ""
	}
	return at.String()
}

// listen opens the listeners of the start.
func (i *identities) listen() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current == nil {
		return nil
	}
	opened, err := i.openMissing(i.current)
	maps.Copy(i.doors, opened)
	return err
}

// closeDoors closes those of a start that fails.
func (i *identities) closeDoors() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, d := range i.doors {
		_ = d.on.Close()
	}
}

// serve begins to serve them.
func (i *identities) serve(failed chan<- error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.failed, i.open = failed, true
	for _, d := range i.doors {
		i.serveOn(d)
	}
	if i.current != nil {
		i.log.Info().Int("identities", len(i.current.All)).Strs("listeners", slices.Sorted(maps.Keys(i.doors))).Msg("named identities")
	}
}

func (i *identities) serveOn(d *door) {
	warnIfOpenToAll(i.log, d.at)
	i.serving.Go(func() {
		if err := i.serveDoor(d.server, d.on); err != nil {
			select {
			case i.failed <- fmt.Errorf("%s: %w", d.at, err):
			default: // another one has failed already
			}
		}
	})
}

// openMissing opens what named has and is not open yet. If one cannot be
// opened, none is.
func (i *identities) openMissing(named *config.Identities) (map[string]*door, error) {
	opened := map[string]*door{}
	for _, identity := range named.All {
		key := doorKey(identity.Listen)
		if key == "" || i.doors[key] != nil {
			continue
		}
		d, err := i.openDoor(identity.Listen, identity.SocketMode)
		if err != nil {
			for _, d := range opened {
				_ = d.on.Close()
			}
			return nil, fmt.Errorf("MONITE_IDENTITIES_FILE: listen_addr of %s: %w", identity.Name, err)
		}
		opened[key] = d
	}
	return opened, nil
}

func (i *identities) openDoor(at config.Listen, mode fs.FileMode) (*door, error) {
	on, err := openListener(at, i.options(at, mode))
	if err != nil {
		return nil, err
	}
	return &door{on: on, server: i.newServer(doorKey(at)), at: at, mode: mode}, nil
}

// setMode changes who may connect to a socket.
func (d *door) setMode(mode fs.FileMode) error {
	if d.at.Network != "unix" || d.mode == mode {
		return nil
	}
	if err := os.Chmod(d.at.Address, mode); err != nil {
		return err
	}
	d.mode = mode
	return nil
}

// follow takes over every change of the file until ctx ends.
func (i *identities) follow(ctx context.Context) {
	if i.cfg.IdentitiesPath() == "" {
		return
	}
	files := watch.Files{Paths: []string{i.cfg.IdentitiesPath()}, Check: func() { i.read(false) }, Trouble: i.watchTrouble}
	files.Run(ctx)
}

func (i *identities) watchTrouble(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != i.watching && err != nil {
		i.log.Warn().Err(err).Msg("the identities file is polled, not watched")
	}
	i.watching = text
}

// reload is for the operator who asks for it.
func (i *identities) reload() (changed bool) { return i.read(true) }

// read reads the file and takes it over, or keeps everything as it is and says
// why. It reports whether something has changed. What made doors yield in vain is
// tried again only if somebody asked: each try refuses connections.
func (i *identities) read(asked bool) (changed bool) {
	if i.cfg.IdentitiesPath() == "" {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return false
	}
	named, err := i.cfg.ReadIdentities()
	if err == nil && i.vain != nil && named.Same(i.vain) && !asked {
		return false
	}
	i.vain = nil
	if err == nil && named.Same(i.current) && i.complete(named) {
		if i.trouble != "" {
			i.log.Info().Msg("the identities file can be used again")
		}
		i.setTrouble("")
		return false
	}
	if err == nil {
		err = i.takeOver(named)
	}
	if err != nil {
		if text := err.Error(); text != i.trouble { // not again with every poll
			i.setTrouble(text)
			i.metrics.ObserveReload(false)
			i.log.Error().Strs("mistakes", mistakesOf(err)).Msg("the identities file cannot be used, the old identities stay")
		}
		return false
	}
	i.setTrouble("")
	i.metrics.ObserveReload(true)
	for _, warning := range named.Warnings {
		i.log.Warn().Msg(warning)
	}
	i.log.Info().Int("identities", len(named.All)).Int("listeners", len(i.doors)).Msg("identities file changed")
	return true
}

// setTrouble is called with mu held.
func (i *identities) setTrouble(text string) {
	i.trouble = text
	i.stale.Store(text != "")
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

// takeOver: first what can fail, then the policy, then the doors: a new one is
// served when its identity is known, an old one closed when it is not. Only what
// is in the way of a new one is closed before.
func (i *identities) takeOver(named *config.Identities) error {
	yielded := i.yield(named)
	opened, err := i.openMissing(named)
	if err == nil {
		err = i.changeModes(named)
	}
	if err != nil {
		for _, d := range opened {
			_ = d.on.Close()
		}
		if len(yielded) > 0 {
			i.vain = named
		}
		return i.takeBack(yielded, err)
	}
	i.setPolicy(policy(i.cfg, named))
	i.current = named
	i.shown.Store(named)
	wanted := doorKeys(named)
	var gone []*door
	for key, d := range i.doors {
		if !wanted[key] {
			gone = append(gone, d)
			delete(i.doors, key)
		}
	}
	for key, d := range opened {
		i.doors[key] = d
		if i.open {
			i.serveOn(d)
		}
	}
	i.close(gone)
	return nil
}

// close stops doors, and lets the requests behind them end. When it returns,
// their addresses are free again.
func (i *identities) close(gone []*door) {
	if !i.open { // a reload during the start: stop would wait for an Accept that never comes
		for _, d := range gone {
			_ = d.on.Close()
		}
		return
	}
	var stopping sync.WaitGroup
	for _, d := range gone {
		stopping.Go(d.on.stop)
	}
	stopping.Wait()
	for _, d := range gone {
		i.leaving.Go(func() {
			ctx, cancel := context.WithTimeout(i.life, i.cfg.DrainTimeout)
			defer cancel()
			if d.server.Shutdown(ctx) != nil {
				_ = d.server.Close()
			}
		})
	}
}

// changeModes gives sockets that stay another mode, if the file says so; all or
// none.
func (i *identities) changeModes(named *config.Identities) error {
	var undos []func()
	for _, identity := range named.All {
		d := i.doors[doorKey(identity.Listen)]
		if d == nil {
			continue
		}
		before := d.mode
		if err := d.setMode(identity.SocketMode); err != nil {
			for _, undo := range undos {
				undo()
			}
			return fmt.Errorf("MONITE_IDENTITIES_FILE: socket_mode of %s: %w", identity.Name, err)
		}
		undos = append(undos, func() { _ = d.setMode(before) })
	}
	return nil
}

// stopAll stops accepting, for good.
func (i *identities) stopAll() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	var stopping sync.WaitGroup
	for _, d := range i.doors {
		stopping.Go(d.on.stop)
	}
	stopping.Wait()
}

// shutdown lets the requests end that were accepted. It reports false if ctx
// ended before they did; cutOff ends them then. Those of doors that were removed
// a moment ago have as much time.
func (i *identities) shutdown(ctx context.Context) bool {
	var ending sync.WaitGroup
	var late atomic.Bool
	left := make(chan struct{})
	go func() { // ends with cutOff at the latest
		i.leaving.Wait()
		close(left)
	}()
	ending.Go(func() {
		select {
		case <-left:
		case <-ctx.Done():
			late.Store(true)
		}
	})
	for _, d := range i.doors { // closed: nobody changes them
		ending.Go(func() {
			if d.server.Shutdown(ctx) != nil {
				late.Store(true)
			}
		})
	}
	ending.Wait()
	return !late.Load()
}

// cutOff closes what is still open, and returns when nothing of it runs.
func (i *identities) cutOff() {
	i.cut()
	for _, d := range i.doors {
		_ = d.server.Close()
	}
	i.leaving.Wait()
	i.serving.Wait()
}
