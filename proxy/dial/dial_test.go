package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// internet is a name server and hosts that behave as a test says.
type internet struct {
	mu      sync.Mutex // guards all below
	records map[string]record
	hosts   map[string]host // by address; others refuse
	asked   []string
	dialled []string
	open    int // connections
	stale   []Stale
}

// record is what the name server says to one question, "ip4 name".
type record struct {
	after time.Duration
	addrs []string
	err   error
}

type host int

const (
	connects host = iota + 1
	silent
	unreachable
)

var (
	errNotFound = &net.DNSError{Err: "no such host", IsNotFound: true}
	errServfail = &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	forever     = 24 * time.Hour
)

func (i *internet) resolve(ctx context.Context, network, name string) ([]netip.Addr, error) {
	i.mu.Lock()
	i.asked = append(i.asked, network+" "+name)
	known, ok := i.records[network+" "+name]
	i.mu.Unlock()
	if !ok {
		return nil, errNotFound
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(known.after):
	}
	var addrs []netip.Addr
	for _, text := range known.addrs {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, known.err
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c countedConn) Close() error { c.closed(); return c.Conn.Close() }

func (i *internet) connect(ctx context.Context, _, addr string) (net.Conn, error) {
	at, _, _ := net.SplitHostPort(addr)
	i.mu.Lock()
	i.dialled = append(i.dialled, at)
	kind := i.hosts[at]
	i.mu.Unlock()
	switch kind {
	case connects:
		near, far := net.Pipe()
		i.mu.Lock()
		i.open++
		i.mu.Unlock()
		return countedConn{near, sync.OnceFunc(func() {
			_ = far.Close()
			i.mu.Lock()
			i.open--
			i.mu.Unlock()
		})}, nil
	case silent:
		<-ctx.Done()
		return nil, ctx.Err()
	case unreachable:
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	}
	return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

func (i *internet) set(question string, r record) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.records[question] = r
}

func (i *internet) setHost(addr string, kind host) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hosts[addr] = kind
}

// take returns what was dialled since the last take.
func (i *internet) take() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	dialled := i.dialled
	i.dialled = nil
	return dialled
}

const (
	a4 = "ip4 api.test."
	a6 = "ip6 api.test."
)

// inInternet runs test with a dialer to it, where time passes at once. In it, api.test
// has one address that connects.
func inInternet(t *testing.T, test func(*testing.T, *internet, *Dialer)) {
	synctest.Test(t, func(t *testing.T) {
		i, d := internetOf(t)
		test(t, i, d)
	})
}

func internetOf(t *testing.T) (*internet, *Dialer) {
	i := &internet{
		records: map[string]record{a4: {addrs: []string{"192.0.2.1"}}},
		hosts:   map[string]host{"192.0.2.1": connects},
	}
	d := &Dialer{Timeout: 5 * time.Second, connectTo: i.connect, OnStale: func(s Stale) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.stale = append(i.stale, s)
	}}
	d.names = &addressBook{resolve: i.resolve, onStale: d.OnStale}
	d.once.Do(func() {})
	t.Cleanup(func() {
		d.Stop()
		synctest.Wait()
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.open != 0 {
			t.Errorf("%d connections were left open", i.open)
		}
	})
	return i, d
}

// dialsIn dials api.test, and wants a connection after just that time.
func dialsIn(t *testing.T, d *Dialer, want time.Duration) {
	t.Helper()
	start := time.Now()
	conn, err := d.Dial(t.Context(), "api.test:443")
	if err != nil {
		t.Errorf("after %v: %v", time.Since(start), err)
		return
	}
	if took := time.Since(start); took != want {
		t.Errorf("connected after %v, want %v", took, want)
	}
	_ = conn.Close()
	synctest.Wait()
}

// pause is long enough for nothing of an earlier lookup to be shared.
const pause = time.Minute

func TestFirstConnectionWhateverTheNameServersDo(t *testing.T) {
	for _, tc := range []struct {
		name    string
		records map[string]record
		want    time.Duration
	}{
		{"a first name server that is dead", map[string]record{a4: {after: 5 * time.Second, addrs: []string{"192.0.2.1"}},
			a6: {after: 5 * time.Second, err: errNotFound}}, 5 * time.Second},
		{"two that are dead", map[string]record{a4: {after: 10 * time.Second, addrs: []string{"192.0.2.1"}}, a6: {after: forever}},
			10*time.Second + familyDelay},
		{"AAAA is never answered", map[string]record{a4: {addrs: []string{"192.0.2.1"}}, a6: {after: forever}}, familyDelay},
		{"AAAA fails", map[string]record{a4: {addrs: []string{"192.0.2.1"}}, a6: {err: errServfail}}, 0},
		{"A is never answered", map[string]record{a4: {after: forever}, a6: {addrs: []string{"2001:db8::1"}}}, 0},
		{"an IPv6 address that cannot be reached", map[string]record{a4: {addrs: []string{"192.0.2.1"}}, a6: {addrs: []string{"2001:db8::2"}}}, 0},
		{"an IPv6 address that is silent", map[string]record{a4: {addrs: []string{"192.0.2.1"}}, a6: {addrs: []string{"2001:db8::3"}}}, attemptDelay},
		{"many that refuse", map[string]record{a4: {addrs: []string{"192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.1"}}}, 0},
		{"two that are silent", map[string]record{a4: {addrs: []string{"192.0.2.5", "192.0.2.6", "192.0.2.1"}}}, 2 * attemptDelay},
		{"IPv4 as IPv6", map[string]record{a4: {addrs: []string{"::ffff:192.0.2.1"}}}, 0},
		{"only in the search list", map[string]record{a4: {err: errNotFound}, "ip4 api.test": {addrs: []string{"192.0.2.1"}}}, 0},
		{"the search list after a failure", map[string]record{a4: {err: errServfail}, "ip4 api.test": {addrs: []string{"192.0.2.1"}}}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
				i.records = tc.records
				i.hosts["2001:db8::1"], i.hosts["2001:db8::2"], i.hosts["2001:db8::3"] = connects, unreachable, silent
				i.hosts["192.0.2.5"], i.hosts["192.0.2.6"] = silent, silent
				dialsIn(t, d, tc.want)
			})
		})
	}
}

// A domain of the search list may be silent, or somebody else's.
func TestSearchListIsNotAskedForANameThatIsThere(t *testing.T) {
	inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
		dialsIn(t, d, 0)
		slices.Sort(i.asked)
		if want := []string{a4, a6}; !slices.Equal(i.asked, want) {
			t.Errorf("asked for %q, want %q", i.asked, want)
		}
		for _, local := range []string{"sim", "api.test."} { // one label is for the search list, a dot says that it is not
			i.asked = nil
			if conn, err := d.Dial(t.Context(), local+":443"); err == nil {
				_ = conn.Close()
			}
			synctest.Wait()
			if slices.Sort(i.asked); !slices.Equal(i.asked, []string{"ip4 " + local, "ip6 " + local}) {
				t.Errorf("%s: asked for %q", local, i.asked)
			}
		}
	})
}

func TestLastAddressesServeWhileALookupHangsOrFails(t *testing.T) {
	for _, tc := range []struct {
		name  string
		now   record
		first time.Duration // the second one waits for nothing
		err   error
	}{
		{"hangs", record{after: forever}, lookupPatience, nil},
		{"slow", record{after: 5 * time.Second, addrs: []string{"192.0.2.1"}}, lookupPatience, nil},
		{"no such host", record{err: errNotFound}, 0, errNotFound},
		{"fails", record{err: errServfail}, 0, errServfail},
		{"fails after a while", record{after: time.Second, err: errServfail}, lookupPatience, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
				dialsIn(t, d, 0)
				time.Sleep(pause)
				i.set(a4, tc.now)
				dialsIn(t, d, tc.first)
				time.Sleep(pause / 2)
				dialsIn(t, d, 0)
				if len(i.stale) != 1 || i.stale[0].Host != "api.test" || i.stale[0].Err != tc.err || i.stale[0].Age < pause ||
					i.stale[0].Age > pause+time.Second { //nolint:errorlint // bare
					t.Errorf("said %+v, want it once", i.stale)
				}
			})
		})
	}
}

func TestAddressesServeNoLongerThanMaxStale(t *testing.T) {
	inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
		dialsIn(t, d, 0)
		i.set(a4, record{err: errServfail})
		time.Sleep(MaxStale - pause)
		dialsIn(t, d, 0)
		time.Sleep(2 * pause)
		if _, err := d.Dial(t.Context(), "api.test:443"); !errors.Is(err, errServfail) {
			t.Errorf("err = %v, want that of the lookup", err)
		}
	})
}

func TestALookupThatIsQuickAgainIsWaitedFor(t *testing.T) {
	inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
		dialsIn(t, d, 0)
		time.Sleep(pause)
		i.set(a4, record{after: forever})
		dialsIn(t, d, lookupPatience)
		time.Sleep(pause)
		i.set(a4, record{after: 10 * time.Millisecond, addrs: []string{"192.0.2.2"}})
		i.setHost("192.0.2.2", connects)
		dialsIn(t, d, 0) // the old address, once more
		time.Sleep(pause)
		i.take()
		dialsIn(t, d, 10*time.Millisecond)
		if got := i.take(); !slices.Equal(got, []string{"192.0.2.2"}) {
			t.Errorf("dialled %q, want the new address", got)
		}
	})
}

func TestNewAddressesAreUsedAtOnce(t *testing.T) {
	inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
		dialsIn(t, d, 0)
		i.take()
		i.set(a4, record{addrs: []string{"192.0.2.2", "192.0.2.3"}})
		i.setHost("192.0.2.2", connects)
		i.setHost("192.0.2.1", silent)
		dialsIn(t, d, 0)
		if got := i.take(); !slices.Equal(got, []string{"192.0.2.2"}) {
			t.Errorf("dialled %q, want the new address alone", got)
		}
	})
}

// The name may lead to a region that is not up yet, or to the page of a hotel.
func TestEarlierAddressesServeWhereTheNewOnesRefuse(t *testing.T) {
	inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
		dialsIn(t, d, 0)
		time.Sleep(pause)
		i.take()
		i.set(a4, record{addrs: []string{"192.0.2.2"}})
		dialsIn(t, d, 0)
		if got := i.take(); !slices.Equal(got, []string{"192.0.2.2", "192.0.2.1"}) {
			t.Errorf("dialled %q", got)
		}
	})
}

// The first mint gives up after ten seconds; the second one finds what its lookup
// has found meanwhile.
func TestALookupOutlivesWhoAskedForIt(t *testing.T) {
	inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
		i.set(a4, record{after: 12 * time.Second, addrs: []string{"192.0.2.1"}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := d.Dial(ctx, "api.test:443"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		dialsIn(t, d, 2*time.Second)
		if len(i.asked) != 2 {
			t.Errorf("asked for %q, want one lookup", i.asked)
		}
	})
}

// Two name servers are silent for five seconds each, and a mint may take ten.
func TestWhatASlowLookupFindsServesWhoeverComesJustAfter(t *testing.T) {
	inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
		i.set(a4, record{after: 10*time.Second + time.Millisecond, addrs: []string{"192.0.2.1"}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := d.Dial(ctx, "api.test:443"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		time.Sleep(200 * time.Millisecond)
		dialsIn(t, d, 0)
		if len(i.asked) != 2 {
			t.Errorf("asked for %q, want one lookup", i.asked)
		}
	})
}

func TestConnectionsMadeTogetherShareALookup(t *testing.T) {
	inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
		i.set(a4, record{after: time.Second, addrs: []string{"192.0.2.1"}})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if conn, err := d.Dial(t.Context(), "api.test:443"); err != nil {
					t.Error(err)
				} else {
					_ = conn.Close()
				}
			})
		}
		all.Wait()
		if len(i.asked) != 2 {
			t.Errorf("%d questions, want 2", len(i.asked))
		}
	})
}

func TestEveryAddressHasATimeoutOfItsOwn(t *testing.T) {
	inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
		addrs := []string{}
		for n := range 20 {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + n)}).String()
			addrs = append(addrs, addr)
			i.hosts[addr] = silent
		}
		i.set(a4, record{addrs: addrs})
		start := time.Now()
		_, err := d.Dial(t.Context(), "api.test:443")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want a timeout", err)
		}
		if took, want := time.Since(start), (maxAttempts-1)*attemptDelay+d.Timeout; took != want {
			t.Errorf("gave up after %v, want %v", took, want)
		}
	})
}

func TestACallerThatLeavesIsNotHeld(t *testing.T) {
	inInternet(t, func(t *testing.T, i *internet, d *Dialer) {
		i.hosts["192.0.2.1"] = silent
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := d.Dial(ctx, "api.test:443"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestErrorsNameTheirCause(t *testing.T) {
	formerr := &net.DNSError{Err: "server misbehaving", Name: "api.test.", Server: "192.0.2.53:53"}
	for _, tc := range []struct {
		name string
		err  error
		want string // none: the text stays
	}{
		{"FORMERR", formerr, "GODEBUG=netedns0=0"},
		{"SERVFAIL", errServfail, ""},
		{"no such host", errNotFound, ""},
	} {
		got := lookupError(tc.err)
		if !errors.Is(got, tc.err) || !strings.Contains(got.Error(), tc.want) || tc.want == "" && got != tc.err { //nolint:errorlint // the same
			t.Errorf("%s: %v, want %q in it", tc.name, got, tc.want)
		}
	}
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}
	if got := connectError(refused); !errors.Is(got, syscall.EACCES) || !strings.Contains(got.Error(), "Landlock") {
		t.Errorf("EACCES: %v", got)
	}
}

func TestNameServersOfAResolvConfThatCannotBeReadAnyMore(t *testing.T) {
	var s nameServers
	for _, server := range []string{"192.0.2.1:53", "192.0.2.2:53", "192.0.2.1:53", "192.0.2.3:53", "192.0.2.4:53"} {
		if got := s.instead(server, false); got != server {
			t.Errorf("%s is asked instead of %s", got, server)
		}
	}
	asked := map[string]bool{}
	for range 6 {
		asked[s.instead("127.0.0.1:53", true)] = true
	}
	if len(asked) != maxNameServers || asked["127.0.0.1:53"] || asked["192.0.2.2:53"] {
		t.Errorf("asked %v, want the last %d", asked, maxNameServers)
	}
	if got := new(nameServers).instead("127.0.0.1:53", true); got != "127.0.0.1:53" {
		t.Errorf("without a better guess: %s", got)
	}
	if missing := filepath.Join(t.TempDir(), "none"); unreadable(missing) {
		t.Error("a file that is not there is taken for one that may not be read")
	}
}
