package writes

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// Name is the key of a record: the fingerprint of a request, or an idempotency key
// together with the identity that sent it. It is a SHA-256, so nothing can be read
// from it.
type Name [32]byte

// ID is one claim's own: random, never used again.
type ID [16]byte

// NewID returns a new one.
func NewID() (id ID) {
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64()) //nolint:gosec // guessing one gains nothing
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64()) //nolint:gosec // likewise
	return id
}

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// State says how far a write is.
type State string

// The states of a record. It begins as Pending, and ends as Answered or Unknown
// or is removed, where upstream has certainly not executed the write.
const (
	Pending  State = "pending"  // under way, or followed to its end
	Answered State = "answered" // upstream's response is known
	Unknown  State = "unknown"  // upstream may have executed it
	// LetGo: it was one of the other two, and somebody has said that an equal write may
	// be sent. Its name is free. It stays in a shared store so that other replicas hear
	// of it: that the store has no record may also mean that it has lost one.
	LetGo State = "let_go"
)

// Record holds what is known of one write. It holds no path, no id of an entity or a
// user, and no byte of the request.
type Record struct {
	// Claim is the claim that made the record, and Settle and Release act on.
	Claim ID
	State State
	// Keyed records are of an idempotency key. The others are the repeat guard's.
	Keyed bool
	// Fingerprint is that of the request. For records of the repeat guard it is their name.
	Fingerprint Name
	// RequestID, Method and Route tell a person which write it was. Route is one of
	// Monite's published path templates.
	RequestID, Method, Route string
	// RepeatOf is the request id of the write that this one repeats on purpose.
	RepeatOf string
	// Begun is the time at which the write was claimed, Ended at which it was
	// settled; zero while pending. Both by the wall clock of the process that wrote
	// the record.
	Begun, Ended time.Time
	// Status is upstream's; 0 unless upstream responded.
	Status int
	// Delivered: the app has taken the response.
	Delivered bool
	// Holder is the process that keeps an eye on the app's connection; zero once the response
	// was sent again on another one.
	Holder ID
	// Response is nil where it is not needed, was too large, or was pushed out.
	Response *Response
	// Version grows with all that is said of a name: of two records of one name, the
	// one with the greater Version is the later.
	Version int
	// Lapse is the time for which a record counts as pending, from the moment at
	// which it is claimed. After that its holder is taken for dead, and it is
	// Unknown.
	Lapse time.Duration
	// TTL is the time for which the record is kept, from the moment at which it is
	// settled, or has lapsed.
	TTL time.Duration

	// taken says whether the app has taken the response as far as is known now, where
	// Delivered has been said early: until the app's next request, or the end of its
	// connection. nil: what Delivered says is final. Only in this process.
	taken func() bool
	// written is when it was written to the app.
	written time.Time
	// shared says that the shared store had it when this process saw it last; told, that
	// it also knows how the write ended.
	shared, told bool
}

// delivered is Delivered as of now.
func (r *Record) delivered() bool { return r.Delivered && (r.taken == nil || r.taken()) }

// Response is the response that is sent again. Fields are only those that the caller
// kept.
type Response struct {
	Status int
	Fields map[string][]string
	Body   []byte
}

// Size is the weight of a response in the bounds: its bytes, roughly.
func (r *Response) Size() int {
	if r == nil {
		return 0
	}
	size := len(r.Body)
	for name, values := range r.Fields {
		size += len(name)
		for _, value := range values {
			size += len(value)
		}
	}
	return size
}
