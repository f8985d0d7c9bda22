package writes

import "context"

// Store keeps records under names, for one process (Memory) or for several.
//
// Every method is atomic. An error means that the store cannot be used now: it may or
// may not have done what it was asked. The context has no deadline that a caller
// could rely on: a store bounds its own exchanges. A store of several processes must
// not show what is in a record to parties that can read the store.
//
// A record is never free because time has passed or a process has died:
//
//   - Pending, older than Lapse by the store's own clock: the holder is taken for
//     dead, and every method returns the record as Unknown. It is then kept for
//     TTL, and only after that it is gone.
//   - Answered, Unknown or LetGo: kept for TTL from the moment of Settle.
//
// A store that loses records (a restart without persistence, a flush, eviction)
// makes their names free. That is its limit, and is documented as such.
type Store interface {
	// Claim puts mine, which is Pending, under name if there is no record, or if the
	// one there was made by the claim over (the zero ID: by none). It returns the
	// record that is stored afterwards: mine if its Claim is mine's, else the one
	// that was in the way. It comes before the first byte of the write leaves, and
	// when it has returned mine, the record survives this process.
	//
	// What the caller has found of over may be old by then. Memory goes by the Version. A
	// store of several processes does not replace a record that is Answered and not
	// Delivered.
	//
	// After an error the caller does not know whether mine is there. It then calls
	// Release; if that fails too, mine lapses and is Unknown, which is safe.
	Claim(ctx context.Context, name Name, mine Record, over ID) (Record, error)

	// Settle puts record, which is not Pending, in the place of the one with
	// the same Claim, also if that has lapsed meanwhile, or was settled before: the
	// holder knows better. It does nothing if the record there is another claim's, or
	// if there is none; that is not an error. A store may drop a Response that is too
	// large for it, and keep the rest.
	Settle(ctx context.Context, name Name, record Record) error

	// Release removes the record that claim has made, in whatever state it is: the
	// write was certainly not executed. It does nothing if the record there is another
	// claim's. If it fails, the record lapses and is Unknown, which is safe.
	Release(ctx context.Context, name Name, claim ID) error

	// Look returns the record under name. ok is false if there is none. One process
	// waits with it for the end of a write of another, a few times a second.
	Look(ctx context.Context, name Name) (record Record, ok bool, err error)
}
