package trace

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/goleak"

	"github.com/monite-proxy/monite-proxy/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is an exporter that does as it is told.
type collector struct {
	mu      sync.Mutex // guards batches
	batches []int
	export  func(context.Context) error
}

func (c *collector) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	c.mu.Lock()
	c.batches = append(c.batches, len(spans))
	c.mu.Unlock()
	if c.export != nil {
		return c.export(ctx)
	}
	return nil
}

func (c *collector) sizes() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.batches)
}

func (c *collector) Shutdown(context.Context) error { return nil }

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func endSpans(traces *Traces, n int) {
	for range n {
		begin(traces).End(&proxy.Record{Start: time.Now()})
	}
}

// running runs traces in a bubble until the returned function has stopped them.
func running(t *testing.T, traces *Traces) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = traces.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func TestSpansAreSentInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &collector{}
		traces := newTraces(testConfig(), to, none)
		stop := running(t, traces)
		endSpans(traces, 12)
		synctest.Wait()
		if !slices.Equal(to.sizes(), []int{10}) {
			t.Errorf("batches %v at once, want the full one", to.sizes())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !slices.Equal(to.sizes(), []int{10, 2}) {
			t.Errorf("batches %v after the delay, want the rest too", to.sizes())
		}
		endSpans(traces, 25)
		stop()
		if sum := sum(to.sizes()); sum != 37 || traces.Dropped() != 0 {
			t.Errorf("%d spans exported and %d dropped, want 37 and 0", sum, traces.Dropped())
		}
	})
}

func sum(numbers []int) (n int) {
	for _, one := range numbers {
		n += one
	}
	return n
}

func TestHangingCollectorBlocksNobodyAndDropsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := testConfig()
		c.Log, c.Timeout = zerolog.New(&log), time.Hour
		to := &collector{export: hang}
		traces := newTraces(c, to, none)
		stop := running(t, traces)
		endSpans(traces, 10)
		synctest.Wait() // the first batch is under way
		before := time.Now()
		endSpans(traces, 150)
		if took := time.Since(before); took != 0 {
			t.Errorf("ending spans took %v", took)
		}
		if got := traces.Dropped(); got != 50 {
			t.Errorf("Dropped() = %d, want the 50 above the queue of 100", got)
		}
		before = time.Now()
		stop()
		if took := time.Since(before); took != flushTimeout {
			t.Errorf("the end took %v, want %v", took, flushTimeout)
		}
		if got := traces.Dropped(); got != 160 {
			t.Errorf("Dropped() = %d at the end, want all 160", got)
		}
	})
}

func TestTroubleIsMentionedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := testConfig()
		c.Log = zerolog.New(&log)
		traces := newTraces(c, &collector{export: func(context.Context) error { return errors.New("refused") }}, none)
		stop := running(t, traces)
		for range 150 { // seconds
			endSpans(traces, 1)
			time.Sleep(time.Second)
		}
		stop()
		if got := strings.Count(log.String(), "traces are not exported"); got != 3 {
			t.Errorf("mentioned %d times in 2.5 minutes, want 3:\n%s", got, log.String())
		}
		if !strings.Contains(log.String(), `"spans_dropped":60`) || !strings.Contains(log.String(), `"cause":"refused"`) {
			t.Errorf("log %s, want the spans of a minute and the cause", log.String())
		}
	})
}
