package trace

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// flushTimeout bounds what the end of the process may wait for the collector.
const flushTimeout = 2 * time.Second

// sayEvery is the least time between two log lines about a collector in trouble.
const sayEvery = time.Minute

// queue is between requests and the collector. The SDK has one too, which does not
// tell how many spans it drops.
type queue struct {
	spans    chan sdk.ReadOnlySpan
	to       sdk.SpanExporter
	rejected func() int64 // spans that the collector took and threw away
	dropped  atomic.Int64
	batch    int
	delay    time.Duration
	timeout  time.Duration
	log      zerolog.Logger

	mu       sync.Mutex // guards what follows
	said     time.Time  // when trouble was last mentioned
	saidDrop int64      // how many were dropped by then
}

func newQueue(c Config, to sdk.SpanExporter, rejected func() int64) *queue {
	return &queue{
		spans: make(chan sdk.ReadOnlySpan, c.QueueSize), to: to, rejected: rejected,
		batch: c.BatchSize, delay: c.BatchDelay, timeout: c.Timeout, log: c.Log,
	}
}

// OnEnd implements sdk.SpanProcessor. It never blocks: a request ends here.
func (q *queue) OnEnd(span sdk.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	select {
	case q.spans <- span:
	default:
		q.dropped.Add(1)
	}
}

// OnStart implements sdk.SpanProcessor.
func (q *queue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// Shutdown implements sdk.SpanProcessor: the end of run decides.
func (q *queue) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdk.SpanProcessor.
func (q *queue) ForceFlush(context.Context) error { return nil }

// run is the only one to export: while one export takes its time, the queue fills.
func (q *queue) run(ctx context.Context) error {
	life, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(flushTimeout, cut) })
	defer stop()
	for {
		batch := q.next(ctx)
		if len(batch)+len(q.spans) == 0 && ctx.Err() != nil {
			return nil
		}
		q.export(life, batch)
	}
}

// next collects a batch: a full one, or a smaller one after the delay or at the end.
func (q *queue) next(ctx context.Context) (batch []sdk.ReadOnlySpan) {
	timer := time.NewTimer(q.delay)
	defer timer.Stop()
	for len(batch) < q.batch {
		select {
		case span := <-q.spans:
			batch = append(batch, span)
			continue
		default:
		}
		select {
		case span := <-q.spans:
			batch = append(batch, span)
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return batch // all that was there: run comes back for more
		}
	}
	return batch
}

func (q *queue) export(life context.Context, batch []sdk.ReadOnlySpan) {
	var err error
	if len(batch) > 0 {
		ctx, cancel := context.WithTimeout(life, q.timeout)
		err = q.to.ExportSpans(ctx, batch)
		cancel()
	}
	if err != nil {
		q.dropped.Add(int64(len(batch)))
	}
	q.report(err)
}

// report mentions trouble: an export that came to nothing, or spans that were
// dropped without one.
func (q *queue) report(err error) {
	dropped := q.dropped.Load() + q.rejected()
	q.mu.Lock()
	more := dropped - q.saidDrop
	if err == nil && more == 0 || !q.said.IsZero() && time.Since(q.said) < sayEvery {
		q.mu.Unlock()
		return
	}
	q.said, q.saidDrop = time.Now(), dropped
	q.mu.Unlock()
	line := q.log.Warn().Int64("spans_dropped", more)
	if err != nil {
		line = line.AnErr("cause", err)
	}
	line.Msg("traces are not exported")
}
