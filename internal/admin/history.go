package admin

import (
	"maps"
	"math/bits"
	"net/http"
	"sync"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

const (
	keptRequests = 200
	keptMints    = 50

	// slotLength times slotCount is the window of the figures: five minutes.
	slotLength = 5 * time.Second
	slotCount  = 60
)

// History remembers the last requests and mints, and counts the requests of the
// last five minutes. It is of a fixed size, about 220 KiB, and allocates nothing
// per request. It holds what a Record holds: no path, query, header or body.
type History struct {
	begin time.Time // of slot 0

	mu       sync.Mutex // guards all below; held for a copy, never for I/O
	slots    [slotCount]slot
	requests ring[request]
	mints    ring[minted]
	// named counts the requests of each named identity. The operator's file bounds
	// it, not what apps send.
	named   map[string]int64
	trouble trouble
}

// slot counts the requests that ended within slotLength.
type slot struct {
	number           int64 // since begin; another one is of an earlier round
	requests, errors uint32
	durations        [durationBuckets]uint32
}

// request is one line of the list of requests.
type request struct {
	ended                    time.Time
	record                   proxy.Record // without its ids
	id, upstreamID, repeatOf keptID
}

// keep copies a record. Its ids are cut out of the heads of a request and a response,
// and would keep those in memory.
func (l *request) keep(r *proxy.Record) {
	l.record = *r
	l.record.Err = nil // nothing here shows it, and it may hold on to much
	l.record.RequestID, l.record.UpstreamRequestID, l.record.RepeatOf = "", "", ""
	l.id.keep(r.RequestID)
	l.upstreamID.keep(r.UpstreamRequestID)
	l.repeatOf.keep(r.RepeatOf)
}

// kept returns the line with the ids back in its record.
func (l *request) kept() request {
	line := *l
	line.record.RequestID, line.record.UpstreamRequestID, line.record.RepeatOf = l.id.String(), l.upstreamID.String(), l.repeatOf.String()
	return line
}

// keptID is a copy of an id, which has up to 128 bytes, in room that is used again.
type keptID struct {
	length uint8
	text   [128]byte
}

func (k *keptID) keep(id string) { k.length = uint8(copy(k.text[:], id)) }

func (k *keptID) String() string { return string(k.text[:k.length]) }

type minted struct {
	ended time.Time
	mint  tokencache.Mint
}

// NewHistory makes an empty one.
func NewHistory() *History {
	return &History{
		begin: time.Now(), named: map[string]int64{},
		requests: ring[request]{kept: make([]request, keptRequests)}, mints: ring[minted]{kept: make([]minted, keptMints)},
	}
}

// ring keeps the latest values that it is given.
type ring[T any] struct {
	kept []T
	seen int // so far
}

// next returns the place for the next value.
func (r *ring[T]) next() *T {
	place := &r.kept[r.seen%len(r.kept)]
	r.seen++
	return place
}

// last returns those that are kept, the newest first.
func (r *ring[T]) last() (all []T) {
	for i := range min(r.seen, len(r.kept)) {
		all = append(all, r.kept[(r.seen-1-i)%len(r.kept)])
	}
	return all
}

// failed reports whether a request counts as an error: what the app could not
// have done better. A 4xx is the app's own, or its user's.
func failed(r *proxy.Record) bool { return r.Status >= http.StatusInternalServerError || r.Aborted }

// ObserveRequest notes a request that has ended.
func (h *History) ObserveRequest(r *proxy.Record) {
	ended := r.Start.Add(r.Duration)
	number := h.number(ended)
	bucket := durationBucket(r.Duration)
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := &h.slots[number%slotCount]; s.number <= number { // else it ended a round ago
		if s.number < number {
			*s = slot{number: number}
		}
		s.requests++
		if failed(r) {
			s.errors++
		}
		s.durations[bucket]++
	}
	line := h.requests.next()
	line.ended = ended
	line.keep(r)
	h.trouble.observe(r, ended)
	if r.Identity != "" {
		h.named[r.Identity]++
	}
}

// requestsAs returns how many requests there were as each named identity.
func (h *History) requestsAs() map[string]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.named)
}

// number is of the slot that holds the moment. Before begin there is none.
func (h *History) number(at time.Time) int64 { return int64(max(at.Sub(h.begin), 0) / slotLength) }

// ObserveMint notes a mint that has ended.
func (h *History) ObserveMint(mint tokencache.Mint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*h.mints.next() = minted{time.Now(), mint}
}

// lastRequests returns those that are kept, the newest first, and how many
// there were.
func (h *History) lastRequests() (all []request, seen int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all = h.requests.last()
	for i := range all {
		all[i] = all[i].kept()
	}
	return all, h.requests.seen
}

// lastMints is the same for mints.
func (h *History) lastMints() (all []minted, seen int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mints.last(), h.mints.seen
}

// Traffic sums up the last five minutes, or the time since the start.
type Traffic struct {
	Window    float64 `json:"window_seconds"`
	Requests  uint64  `json:"requests"`
	PerSecond float64 `json:"requests_per_second"`
	// ErrorRate is the share of 5xx and cut-off responses, from 0 to 1.
	ErrorRate float64 `json:"error_rate"`
	// P50 and P95 of the whole duration, exact to a tenth. 0 without a request.
	P50   float64        `json:"p50_seconds"`
	P95   float64        `json:"p95_seconds"`
	Slots []TrafficCount `json:"slots"`
}

// TrafficCount has the counts of one slot of five seconds.
type TrafficCount struct {
	Requests uint32 `json:"requests"`
	Errors   uint32 `json:"errors"`
}

func (h *History) traffic(now time.Time) Traffic {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.number(now)
	first := max(last-slotCount+1, 0)
	// The last slot is not over yet, so the window begins in its first one.
	t := Traffic{
		Window: seconds(max(now.Sub(h.begin)-time.Duration(first)*slotLength, time.Second)),
		Slots:  make([]TrafficCount, slotCount),
	}
	var errors uint64
	var durations [durationBuckets]uint64
	for number := first; number <= last; number++ {
		s := &h.slots[number%slotCount]
		if s.number != number {
			continue
		}
		t.Slots[slotCount-1-(last-number)] = TrafficCount{s.requests, s.errors}
		t.Requests += uint64(s.requests)
		errors += uint64(s.errors)
		for i, n := range s.durations {
			durations[i] += uint64(n)
		}
	}
	if t.Requests > 0 {
		t.PerSecond = float64(t.Requests) / t.Window
		t.ErrorRate = float64(errors) / float64(t.Requests)
		t.P50 = quantile(&durations, t.Requests, 0.50).Seconds()
		t.P95 = quantile(&durations, t.Requests, 0.95).Seconds()
	}
	return t
}

// Durations are counted in buckets that grow by a quarter of an octave, from
// 32 microseconds to 67 seconds; below and above are one each.
const (
	lowestOctave    = 5 // 2^5 = 32 microseconds
	octaves         = 21
	durationBuckets = octaves*4 + 2
)

func durationBucket(d time.Duration) int {
	micros := uint64(max(d.Microseconds(), 0))
	octave := bits.Len64(micros) - 1
	if octave < lowestOctave {
		return 0
	}
	quarter := micros >> (octave - 2) & 3 // the two bits after the leading one
	return min(1+(octave-lowestOctave)*4+int(quarter), durationBuckets-1)
}

// bucketStart is the least duration that falls into the bucket.
func bucketStart(bucket int) time.Duration {
	if bucket == 0 {
		return 0
	}
	octave, quarter := lowestOctave+(bucket-1)/4, (bucket-1)%4
	return time.Duration((4+quarter)<<(octave-2)) * time.Microsecond
}

// quantile interpolates within the bucket.
func quantile(counts *[durationBuckets]uint64, total uint64, q float64) time.Duration {
	rank, below := q*float64(total), 0.0
	for bucket, n := range counts {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		from := bucketStart(bucket)
		if bucket == durationBuckets-1 {
			return from // there is no telling how much above
		}
		return from + time.Duration((rank-below)/float64(n)*float64(bucketStart(bucket+1)-from))
	}
	return 0
}
