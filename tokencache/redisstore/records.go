package redisstore

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/writes"
)

// Records keeps write records for all processes of one client id. It implements
// writes.Store. A FLUSHALL, or a server that evicts them, makes their names free.
type Records struct {
	*Store
	timeout time.Duration
}

// Records returns the write records of the same server. timeout limits the wait for
// it of a write without a key; one with a key, which is not sent without a response,
// waits ten times as long. 0: 50 ms.
func (s *Store) Records(timeout time.Duration) *Records {
	if timeout <= 0 {
		timeout = 50 * time.Millisecond
	}
	return &Records{Store: s, timeout: timeout}
}

const (
	// maxRecord is the longest record, in bytes, its response included.
	maxRecord = 64 << 10
	headLen   = 1 + 32 + bornDigits
)

// The letter that a record begins with, in the clear: it is all that is known of a
// record that was sealed with another secret.
const (
	letterPending   = 'p'
	letterUnknown   = 'u'
	letterAnswered  = 'a'
	letterDelivered = 'd'
	letterLetGo     = 'f' // free
)

var states = map[byte]writes.State{
	letterPending: writes.Pending, letterUnknown: writes.Unknown, letterAnswered: writes.Answered, letterDelivered: writes.Answered,
	letterLetGo: writes.LetGo,
}

// Claim implements writes.Store.
func (s *Records) Claim(ctx context.Context, name writes.Name, mine writes.Record, over writes.ID) (writes.Record, error) {
	timeout := s.timeout
	if mine.Keyed {
		timeout *= 10
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r := s.rings.of(s.credentials)
	key := r.record(name)
	sealed, err := sealRecord(r, key, mine)
	if err != nil {
		return writes.Record{}, err
	}
	for range 2 {
		found, err := s.inquire(ctx, claimScript, key, mine.Claim.String(), over.String(), sealed,
			mine.Lapse.Milliseconds(), mine.TTL.Milliseconds(), s.endOf(ctx))
		switch {
		case err != nil:
			return writes.Record{}, err
		case found.word == "mine":
			return mine, nil
		case found.word == "there":
			return openRecord(r, key, found, &mine)
		}
		// Late: this host's clock was set, and now the offset is known again.
	}
	return writes.Record{}, context.DeadlineExceeded
}

// unclaimTimeout is as short as the default for a claim: a write waits for both.
const unclaimTimeout = 50 * time.Millisecond

// unclaim takes back a claim that may have been made although its reply did not come in
// time. Release would not get through, because the breaker is open by now: the claim
// would lapse, and the app's next equal write would be refused. A claim that replaces a
// record is left alone: see takeBackIfThere of package writes.
func (c *core) unclaim(ctx context.Context, keys []string, args []any) {
	if args[1] != (writes.ID{}).String() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unclaimTimeout)
	defer cancel()
	_, _ = c.server.run(ctx, settleScript, keys, args[0], "", 1)
}

// Settle implements writes.Store.
func (s *Records) Settle(ctx context.Context, name writes.Name, record writes.Record) error {
	r := s.rings.of(s.credentials)
	key := r.record(name)
	sealed, err := sealRecord(r, key, record)
	if err != nil {
		return err
	}
	letter := byte(letterUnknown)
	switch {
	case record.State == writes.Answered && record.Delivered:
		letter = letterDelivered
	case record.State == writes.Answered:
		letter = letterAnswered
	case record.State == writes.LetGo:
		letter = letterLetGo
	}
	value := fmt.Appendf(nil, "%c%s%013d", letter, record.Claim, 0)
	return s.end(ctx, key, record.Claim, append(value, sealed...), record.TTL)
}

// Release implements writes.Store.
func (s *Records) Release(ctx context.Context, name writes.Name, claim writes.ID) error {
	return s.end(ctx, s.rings.of(s.credentials).record(name), claim, nil, 0)
}

func (s *Records) end(ctx context.Context, key string, claim writes.ID, value []byte, ttl time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 10*s.timeout)
	defer cancel()
	_, err := s.exchange(ctx, settleScript, []string{key}, claim.String(), value, max(ttl.Milliseconds(), 1))
	if err != nil {
		return s.state.down(err)
	}
	return nil
}

// Look implements writes.Store.
func (s *Records) Look(ctx context.Context, name writes.Name) (writes.Record, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*s.timeout)
	defer cancel()
	r := s.rings.of(s.credentials)
	key := r.record(name)
	found, err := s.inquire(ctx, lookScript, key)
	if err != nil || len(found.value) == 0 {
		return writes.Record{}, false, err
	}
	record, err := openRecord(r, key, found, nil)
	return record, err == nil, err
}

// stored is the result of lua/claim.lua and lua/look.lua.
type stored struct {
	word  string
	ms    int64 // the server's clock
	value []byte
}

// inquire runs one of these two scripts.
func (s *Records) inquire(ctx context.Context, script *script, key string, args ...any) (stored, error) {
	sent := time.Now()
	reply, err := s.exchange(ctx, script, []string{key}, args...)
	if err != nil {
		return stored{}, s.state.down(err)
	}
	list, _ := reply.([]any)
	if len(list) == 3 {
		word, ok1 := text(list[0])
		ms, ok2 := list[1].(int64)
		value, ok3 := text(list[2])
		if ok1 && ok2 && ok3 {
			s.learn(ms, sent)
			return stored{word, ms, []byte(value)}, nil
		}
	}
	return stored{}, s.state.down(s.breaker.trip(time.Now(), &Error{Kind: "protocol"}))
}

// sealRecord seals a record without its response if it is too long with it.
func sealRecord(r *ring, key string, record writes.Record) ([]byte, error) {
	var body []byte
	if record.Response != nil {
		response := *record.Response
		body, response.Body = response.Body, nil
		record.Response = &response
	}
	encoded, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	if record.Response != nil && headLen+nonceLen+16+4+len(encoded)+len(body) > maxRecord {
		record.Response = nil
		return sealRecord(r, key, record)
	}
	plain := binary.BigEndian.AppendUint32(nil, uint32(len(encoded)))
	plain = append(append(plain, encoded...), body...)
	return r.sealBytes(key, plain), nil
}

// openRecord reads a record. mine is the claim that it is in the way of; nil: none.
func openRecord(r *ring, key string, found stored, mine *writes.Record) (writes.Record, error) {
	value := found.value
	if len(value) < headLen {
		return writes.Record{}, &Error{Kind: "poison"}
	}
	var claim writes.ID
	if n, err := hex.Decode(claim[:], value[1:33]); err != nil || n != len(claim) {
		return writes.Record{}, &Error{Kind: "poison"}
	}
	lapse, ok := digits(string(value[33:headLen]))
	if !ok {
		return writes.Record{}, &Error{Kind: "poison"}
	}
	record, err := decodeRecord(r, key, value[headLen:])
	if err != nil || record.Claim != claim {
		// From before a rotation of the secret, or written by another party. It is
		// not free, and its letter is all that is known of it.
		record = writes.Record{Claim: claim, State: states[value[0]], Delivered: value[0] == letterDelivered}
		if mine != nil {
			record.Keyed, record.Fingerprint, record.Lapse, record.TTL = mine.Keyed, mine.Fingerprint, mine.Lapse, mine.TTL
		}
	}
	if record.State == "" || record.State == writes.Pending && found.ms > lapse {
		record.State = writes.Unknown // its holder has died
	}
	return record, nil
}

func decodeRecord(r *ring, key string, sealed []byte) (record writes.Record, err error) {
	plain, err := r.openBytes(key, sealed)
	if err != nil || len(plain) < 4 {
		return record, errNotOurs
	}
	length := int(binary.BigEndian.Uint32(plain))
	if length > len(plain)-4 {
		return record, errNotOurs
	}
	if err := json.Unmarshal(plain[4:4+length], &record); err != nil {
		return writes.Record{}, errNotOurs
	}
	if record.Response != nil {
		record.Response.Body = plain[4+length:]
	}
	return record, nil
}
