package redisstore

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Examination holds what a doctor wants to know of a store.
type Examination struct {
	// Err is why it cannot be used; *Error says by its Kind how far it went.
	Err error
	// RoundTrip is the median of five exchanges on one connection.
	RoundTrip time.Duration
	// Offset is the server's clock minus this host's.
	Offset time.Duration
	// Policy is the server's maxmemory-policy. Empty: it does not tell.
	Policy string
	// Entry is none, found, or foreign: there, but not by these credentials.
	Entry string
	// Age of the token that was found.
	Age time.Duration
}

// Examine tries what a replica does, with an entry of its own, and looks for the token
// of a grant. It removes nothing of others.
func (s *Store) Examine(ctx context.Context, grant tokencache.Grant) (e Examination) {
	r := s.rings.of(s.credentials)
	var took []time.Duration
	for range 6 { // the first one connects
		began := time.Now()
		reply, err := s.server.run(ctx, probeScript, []string{r.prefix + "p:" + rand.Text()}, "probe")
		if err != nil {
			e.Err = err
			return e
		}
		list, _ := reply.([]any)
		if len(list) != 3 {
			e.Err = &Error{Kind: "protocol"}
			return e
		}
		took = append(took, time.Since(began))
		if ms, ok := list[1].(int64); ok {
			e.Offset = s.learn(ms, began)
		}
		if word, _ := text(list[0]); word != "same" {
			e.Err = &Error{Kind: "other"}
			return e
		}
		e.Policy, _ = text(list[2])
	}
	took = took[1:]
	slices.Sort(took)
	e.RoundTrip = took[len(took)/2]
	e.Entry, e.Age, e.Err = s.entry(ctx, r, grant)
	return e
}

// entry looks whether a token is there, without a claim.
func (s *Store) entry(ctx context.Context, r *ring, grant tokencache.Grant) (entry string, age time.Duration, err error) {
	k := r.keys(grant)
	reply, err := s.server.run(ctx, askScript, []string{k.token, k.lease, k.verdict, k.pause, k.budget, k.crowd}, "", "0", "", 1000, 0, 0, 0, "", "", "0", 0)
	if err != nil {
		return "", 0, err
	}
	kind, ms, value, _, err := parseAnswer(reply)
	if err != nil || kind != "token" {
		return "none", 0, err
	}
	t, err := r.openToken(k.token, value)
	if err != nil {
		return "foreign", 0, nil //nolint:nilerr // the question was whether it opens
	}
	return "found", time.UnixMilli(ms).Sub(t.born), nil
}
