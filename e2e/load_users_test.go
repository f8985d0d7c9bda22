package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// anybody is a Monite that knows every entity user, and checks that who calls
// has the user's own token.
type anybody struct {
	mints, strange atomic.Int64
	mintsOf        sync.Map // of the users who stay: id -> *atomic.Int64
}

func (a *anybody) mint(w http.ResponseWriter, in *http.Request) {
	var asked struct {
		EntityUserID string `json:"entity_user_id"`
	}
	_ = json.NewDecoder(in.Body).Decode(&asked)
	a.mints.Add(1)
	if count, ok := a.mintsOf.Load(asked.EntityUserID); ok {
		count.(*atomic.Int64).Add(1)
	}
	mintToken("token-of-"+asked.EntityUserID, 1800)(w, in)
}

func (a *anybody) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	if in.URL.Path == "/v1/auth/token" {
		a.mint(w, in)
		return
	}
	// The app says again in X-Request-Id whom it called for.
	if want := "Bearer token-of-" + in.Header.Get("X-Request-Id"); in.Header.Get("Authorization") != want {
		a.strange.Add(1)
	}
	_, _ = io.WriteString(w, `{"data":[]}`)
}

func oneUser(n int) string { return fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012x", n) }

// Users who come once, a hundred thousand of them (make users), and a hundred who
// stay, with room for 1,024: memory does not grow with the users who came, those
// who stay keep their tokens and feel nothing, and nobody gets another's token.
//
// The budget of mints is set far above its default, so that the run takes two
// minutes and not an hour and a half; that it holds is for the tests of
// tokencache, whose clock costs nothing.
func TestUsersWhoComeOncePassByThoseWhoStay(t *testing.T) {
	t.Parallel()
	n := int(envInt(t, "USERS", 2000))
	upstream := &anybody{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: upstream, ReadHeaderTimeout: time.Minute}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-serving; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	s := start(t, defaultEnv("http://"+listener.Addr().String()).with("MONITE_MAX_MINTS_PER_SECOND", "1000")).ready()

	const stay = 100
	var hotFailed atomic.Int64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}
	t.Cleanup(client.CloseIdleConnections)
	call := func(user string) (time.Duration, error) {
		in, err := http.NewRequest(http.MethodGet, s.Data+"/v1/payables", nil)
		if err != nil {
			return 0, err
		}
		in.Header.Set("X-Monite-Entity-User-Id", user)
		in.Header.Set("X-Request-Id", user)
		began := time.Now()
		response, err := client.Do(in)
		if err != nil {
			return 0, err
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", response.StatusCode)
		}
		return time.Since(began), err
	}
	for round := range 2 { // who has been seen twice is no stranger
		for i := range stay {
			if round == 0 {
				upstream.mintsOf.Store(oneUser(i), &atomic.Int64{})
			}
			if _, err := call(oneUser(i)); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(1100 * time.Millisecond)
	}
	// residents has those who stay call until the function that it returns is called,
	// which gives the sorted times of their requests.
	residents := func() (stop func() []time.Duration) {
		var running sync.WaitGroup
		done, took := make(chan struct{}), make([][]time.Duration, 4)
		for worker := range took {
			running.Go(func() {
				for i := worker; ; i = (i + len(took)) % stay {
					select {
					case <-done:
						return
					case <-time.After(25 * time.Millisecond): // each less often than strangers fill the room
					}
					d, err := call(oneUser(i))
					if err != nil {
						hotFailed.Add(1)
					}
					took[worker] = append(took[worker], d)
				}
			})
		}
		return func() []time.Duration {
			close(done)
			running.Wait()
			all := slices.Concat(took...)
			slices.Sort(all)
			return all
		}
	}
	stopAlone := residents()
	<-time.After(min(time.Second*time.Duration(1+n/10_000), 5*time.Second))
	alone := stopAlone()
	idle := s.peakMemory()

	var left, failed atomic.Int64
	left.Store(int64(n))
	var visitors sync.WaitGroup
	stopResidents := residents()
	began := time.Now()
	for range 16 {
		visitors.Go(func() {
			for {
				i := left.Add(-1)
				if i < 0 {
					return
				}
				if _, err := call(oneUser(1<<30 + int(i))); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	visitors.Wait()
	length := time.Since(began)
	hot := stopResidents()
	peak := s.peakMemory()
	again := 0
	upstream.mintsOf.Range(func(_, count any) bool {
		again += int(count.(*atomic.Int64).Load()) - 1
		return true
	})
	cached := s.metricValue("monite_proxy_cached_grants")
	t.Logf("%d users who came once, %d who stayed, in %v: %.0f mints per second; peak memory %.1f MiB, %.1f MiB before them; %v grants cached",
		n, stay, length.Round(time.Millisecond), float64(upstream.mints.Load())/length.Seconds(), mebibytes(peak), mebibytes(idle), cached)
	at := func(all []time.Duration, percent int) time.Duration {
		return all[len(all)*percent/100].Round(time.Microsecond)
	}
	t.Logf("%d requests of those who stayed: p50 %v, p99 %v (alone, before: p50 %v, p99 %v); %d of them failed, %d of their tokens were minted again",
		len(hot), at(hot, 50), at(hot, 99), at(alone, 50), at(alone, 99), hotFailed.Load(), again)
	if failed.Load() != 0 || hotFailed.Load() != 0 || upstream.strange.Load() != 0 || again != 0 {
		t.Errorf("%d of those who came once failed, %d of those who stayed, "+
			"%d calls had a wrong token, %d tokens of those who stayed were minted again; want 0",
			failed.Load(), hotFailed.Load(), upstream.strange.Load(), again)
	}
	if cached > 1024 {
		t.Errorf("%v grants cached, want at most 1024", cached)
	}
	if grown := peak - idle; grown > 24<<20 {
		t.Errorf("memory grew by %.1f MiB", mebibytes(grown))
	}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// With the default budget the mints of a rush stay below Monite's rate, as seen by
// Monite; who comes too late for the line is told when to come back.
func TestRushStaysBelowMonitesRate(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // guards times
	var times []time.Time
	url := script(t, func(w http.ResponseWriter, in *http.Request) {
		mu.Lock()
		times = append(times, time.Now())
		mu.Unlock()
		mintToken("a-token", 1800)(w, in)
	}, answerOK)
	s := start(t, defaultEnv(url).with("MONITE_HOLD_TIMEOUT", "2s")).ready()
	var served, later atomic.Int64
	atOnce(100, func(i int) {
		a := s.mustCall("GET", "/v1/payables", "", "X-Monite-Entity-User-Id", oneUser(i))
		switch {
		case a.Status == http.StatusOK:
			served.Add(1)
		case a.Status == http.StatusServiceUnavailable && strings.Contains(a.Body, "proxy_token_unavailable") && a.Header.Get("Retry-After") != "":
			later.Add(1)
		default:
			t.Errorf("answer %d %s", a.Status, a.Body)
		}
	})
	mu.Lock()
	defer mu.Unlock()
	slices.SortFunc(times, time.Time.Compare)
	most := 0
	for first, last := 0, 0; last < len(times); last++ {
		for times[last].Sub(times[first]) >= time.Second {
			first++
		}
		most = max(most, last-first+1)
	}
	t.Logf("100 strangers at once: %d served, %d told to come back, at most %d mints in a second", served.Load(), later.Load(), most)
	// Two more than the budget allows: the way to Monite takes not always the same time.
	if most > 30 || served.Load() < 20 || later.Load() == 0 {
		t.Errorf("%d served, %d told to come back, %d mints in a second", served.Load(), later.Load(), most)
	}
}
