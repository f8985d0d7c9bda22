package tokencache

import (
	"context"
	"time"
)

// Store is what the processes with the same credentials share: one token per
// grant, the right to mint it, the budget of mints, and what the endpoint refused.
// It is an economy and never a condition: a Store that fails is treated as if
// there were none, and two mints at once do no harm.
type Store interface {
	// Ask takes no longer than ctx allows. An error that is
	// context.DeadlineExceeded says that the Store is slow, any other that it is
	// not there.
	Ask(ctx context.Context, q Question) (Answer, error)
	// Tell ends a claim. Nobody waits for it, and what it cannot tell is lost.
	Tell(ctx context.Context, c Claim, o Outcome) error
}

// Question asks for the token of a grant, or for the right to mint it.
type Question struct {
	Grant Grant
	// Have is the mark of a token that will not do any more; empty: none.
	Have string
	// Refused: upstream refused that token, so nobody else shall get it.
	Refused bool
	// Replaces: upstream refused a token, whether or not it is the one that Have names.
	// What is minted under a claim of this question says so to others.
	Replaces bool
	// Look: the right to mint is not wanted now.
	Look bool
	// Force: it is wanted although somebody else has it. The budget counts all the
	// same.
	Force bool
	// Share of the burst of the budget that may be used up: 1, or less for what
	// can wait.
	Share float64
	// Lease is how long the right to mint keeps others from minting.
	Lease time.Duration
}

// Kind is what an Answer says.
type Kind uint8

// The kinds of answers.
const (
	Free    Kind = iota // no token, and nobody mints one; only to a Question that looks
	Found               // a token
	Claimed             // the asker is the one who mints
	Busy                // somebody else mints
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
	// Age of the token that was found, before the question was sent.
	Age time.Duration
	// Claim is handed back with Tell.
	Claim Claim
	// Wait is when to ask again. Busy and Pacing.
	Wait time.Duration
	// Err is what the endpoint said; RetryAfter is what is left of it. Failed.
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
	// unhurried is how many times longer the Store may take when nobody waits, and
	// when it is known to be there.
	unhurried = 10
	// tooOld is what a token must still live to be taken over.
	tooOld = 2 * time.Second
)
