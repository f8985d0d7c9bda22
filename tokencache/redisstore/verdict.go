package redisstore

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

// witness is a process that has heard a verdict from the endpoint itself.
type witness [8]byte

// verdict is the endpoint's refusal of a grant, or of all of them. It counts when two
// processes have heard it: one that is sick, or behind a proxy of its own, must not
// keep the others from minting.
type verdict struct {
	reason    tokencache.Reason
	status    int
	until     int64 // ms of the server's clock
	witnesses []witness
}

const (
	// rejectedFor is the time for which a refusal counts, as it does in one process.
	rejectedFor = 5 * time.Second
	maxVerdict  = time.Minute
	leastPause  = time.Second
)

// newVerdict combines what me heard with an earlier verdict, which may be nil. It is
// nil if the endpoint's response is not worth sharing, because it says more about the
// way there.
func newVerdict(heard *tokencache.FetchError, earlier *verdict, me witness, now int64) (v *verdict, lasts time.Duration) {
	switch heard.Reason {
	case tokencache.Rejected:
		lasts = rejectedFor
	case tokencache.Throttled:
		lasts = min(max(heard.RetryAfter, leastPause), maxVerdict)
	default:
		return nil, 0
	}
	v = &verdict{reason: heard.Reason, status: heard.Status, until: now + lasts.Milliseconds(), witnesses: []witness{me}}
	if earlier != nil && earlier.reason == v.reason {
		for _, other := range earlier.witnesses {
			if other != me && len(v.witnesses) < 2 {
				v.witnesses = append(v.witnesses, other)
			}
		}
	}
	return v, lasts
}

// counts reports whether the verdict holds at now, and for how long.
func (v *verdict) counts(now int64) (left time.Duration, ok bool) {
	left = time.Duration(min(v.until-now, maxVerdict.Milliseconds())) * time.Millisecond
	return left, left > 0 && len(v.witnesses) == 2 && v.witnesses[0] != v.witnesses[1]
}

var reasons = []tokencache.Reason{tokencache.Rejected, tokencache.Throttled}

func (v *verdict) encode() []byte {
	b := []byte{byte(slices.Index(reasons, v.reason)), byte(len(v.witnesses))}
	b = binary.BigEndian.AppendUint16(b, uint16(v.status))
	b = binary.BigEndian.AppendUint64(b, uint64(v.until))
	for _, w := range v.witnesses {
		b = append(b, w[:]...)
	}
	return b
}

func decodeVerdict(b []byte) (*verdict, error) {
	if len(b) < 12 || int(b[0]) >= len(reasons) || b[1] > 2 || len(b) < 12+8*int(b[1]) {
		return nil, errNotOurs
	}
	v := &verdict{reason: reasons[b[0]], status: int(binary.BigEndian.Uint16(b[2:])), until: int64(binary.BigEndian.Uint64(b[4:]))}
	for i := range int(b[1]) {
		v.witnesses = append(v.witnesses, witness(b[12+8*i:20+8*i]))
	}
	return v, nil
}

// openVerdict returns nil for what is not ours.
func (r *ring) openVerdict(key string, value []byte) *verdict {
	plain, err := r.openBytes(key, value)
	if err != nil {
		return nil
	}
	v, err := decodeVerdict(plain)
	if err != nil {
		return nil
	}
	return v
}
