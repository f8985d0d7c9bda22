package tokencache

import (
	"context"
	"time"
)

// Store is shared by the processes with the same credentials: one token per grant,
// the right to mint it, the budget of mints, and what the endpoint refused. It is an
// economy and never a condition: a Store that fails is treated as if there were none,
// and two mints at once do no harm.
type Store interface {
	// Ask takes no longer than ctx allows. An error that is
	// context.DeadlineExceeded says that the Store is slow, any other that it is
	// not there.
	Ask(ctx context.Context, q Question) (Answer, error)
	// Tell ends a claim. No caller waits for it, and what it cannot deliver is lost.
	Tell(ctx context.Context, c Claim, o Outcome) error
}

// Question asks for the token of a grant, or for the right to mint it.
type Question struct {
	Grant Grant
	// Have is the mark of a token that will not do any more; empty: none.
	Have string
	// Refused says that upstream refused that token, so that no other process gets
	// it.
	Refused bool
	// Replaces: upstream refused a token, whether or not it is the one that Have names.
	// What is minted under a claim of this question says so to others.
	Replaces bool
	// Look: the right to mint is not wanted now.
	Look bool
	// Force takes it even if another process has it. The budget counts all the same.
	Force bool
	// Share of the burst of the budget that may be used up: 1, or less for what
	// can wait.
	Share float64
	// Lease is the time for which the right to mint keeps others from minting.
	Lease time.Duration
}

// Kind is the kind of an Answer.
type Kind uint8

// The kinds of answers.
const (
	Free    Kind = iota // no token, and no process mints one; only to a Question that looks
	Found               // a token
	Claimed             // the asker is the one who mints
	Busy                // another process mints
	Pacing              // the budget of mints is used up
	Failed              // the endpoint refused it, to others too
)

// Answer to a Question.
type Answer struct {
	Kind  Kind
	Token Token // Found
	// Mark names the token that was found, or the one that is minted under the
	// claim. Of two tokens of one grant and one pair of credentials, the later has
	// the greater mark.
	Mark string
	// AfterRefusal: the token that was found was minted under a claim that Replaces
	// one. Others may have been revoked together with the one that was refused.
	AfterRefusal bool
	// Age of the token that was found, before the question was sent, by whichever clock
	// says older; and by the Store's own clock.
	Age, StoreAge time.Duration
	// Claim is handed back with Tell.
	Claim Claim
	// Wait is the time after which to ask again. Busy and Pacing.
	Wait time.Duration
	// Err is the endpoint's refusal; RetryAfter is the rest of it. Failed.
	Err *FetchError
}

// Claim is a right to mint. Only the Store looks into it.
type Claim any

// Outcome of a claim: the token, or why there is none. The zero Outcome gives the
// claim back.
type Outcome struct {
	Token Token
	Err   *FetchError
}

const (
	// lease is long enough for most mints, and short enough to wait for that of a
	// process that died. It is not renewed: an endpoint that is slow gets one more
	// mint in each second, and those who wait take the first that comes.
	lease = time.Second
	// unhurried is the factor by which the Store may take longer when no caller
	// waits, before its first response, and when it is known to be there.
	unhurried = 10
	// tooOld is the lifetime that a token must have left to be taken over.
	tooOld = 2 * time.Second
)
