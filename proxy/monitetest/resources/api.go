package resources

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// Doc is a JSON object. A stored Doc is never changed, only replaced.
type Doc = schema.Doc

// Config says where an API takes time and chance from.
type Config struct {
	// Now tells the time.
	Now func() time.Time
	// Seed makes ids repeatable; zero means that they differ from run to run.
	Seed uint64
	// Data replaces the demo data, if it is not nil: documents by owner and
	// path, as state.Store.Export has them.
	Data map[string]map[string][]Doc
	// Mischief is asked what is to happen to a webhook; nil means nothing.
	Mischief func(event string) Mischief
}

// API is every resource of a simulated Monite and what can be done with it.
type API struct {
	config Config
	table  *schema.Table
	places map[string]*place // by template without /v1/

	data   atomic.Pointer[state.Store]
	agenda agenda
	outbox outbox

	// whole is held for reading while an operation acts, and for writing while the
	// data is replaced or copied: an operation sees the data of one time.
	whole sync.RWMutex

	idsMu sync.Mutex // guards ids
	ids   map[string]int
}

// New returns an API with the demo data, or with the data of the Config.
func New(config Config) (*API, error) {
	a := &API{config: config, table: schema.Published()}
	a.places = places(a.table)
	a.outbox.wake = make(chan struct{}, 1)
	return a, a.Reset()
}

// Reset brings back the data that the API began with.
func (a *API) Reset() error {
	a.whole.Lock()
	defer a.whole.Unlock()
	a.ids = map[string]int{}
	a.agenda.clear()
	a.outbox.clear()
	if a.config.Data != nil {
		store, err := a.imported(a.config.Data)
		if err != nil {
			return err
		}
		a.data.Store(store)
		return nil
	}
	a.data.Store(a.demoData())
	return nil
}

// Store returns the data as it is now.
func (a *API) Store() *state.Store { return a.data.Load() }

func (a *API) now() time.Time { return a.config.Now() }

func (a *API) timestamp() string { return schema.Timestamp(a.now()) }

func (a *API) today() string { return a.now().UTC().Format(time.DateOnly) }

// newID returns a UUID that was not used before. With a seed, the kinds are
// counted apart: what happens by itself, such as a mail that is sent while a slow
// test looks away, does not change the ids of what the test makes.
func (a *API) newID(kind string) string {
	if a.config.Seed == 0 {
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], rand.Uint64())
		binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
		return schema.UUID(b)
	}
	a.idsMu.Lock()
	defer a.idsMu.Unlock()
	a.ids[kind]++
	return schema.FixedUUID(fmt.Sprintf("%d %s %d", a.config.Seed, kind, a.ids[kind]))
}

// Request is one call of an operation that is allowed: token, entity and role
// were checked before.
type Request struct {
	Op *schema.Operation
	// Params are the values of the template's {names}, in order.
	Params      []string
	Query       url.Values
	ContentType string
	Body        io.Reader
	// Version is the API version of the request. One that is older than the
	// document may have fields that the document no longer knows: they are
	// ignored.
	Version string
	// EntityID is the entity that is acted for, if any; EntityUserID the user
	// that acts, empty for the partner.
	EntityID, EntityUserID string
}

// Reply is the response of an operation.
type Reply struct {
	Status      int
	ContentType string // empty: there is no body
	Body        []byte
	// Stream are pieces that are sent one by one instead of Body.
	Stream []string
	// Executed reports whether the state was changed.
	Executed bool
	// Problems are the document's objections to the request.
	Problems []schema.Problem
}
