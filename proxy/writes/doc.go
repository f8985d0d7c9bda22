// Package writes remembers writes, so that what an app sends twice is executed
// once. Clients repeat what fails, upstream has no idempotency keys, and this is
// the one place through which all tries pass. It knows nothing of HTTP.
//
// The walk of a write; a file is a step:
//
//	fingerprint.go  which requests are equal (multipart.go: whatever their boundary)
//	key.go          what the app calls it, if it does
//	journal.go      Begin: in memory first, then in the shared store
//	judge.go        what an equal one in the way means: wait for it, send its response
//	                again, refuse, or take its place
//	claim.go        the duty to say what became of a write that is sent
//	record.go       what is then remembered, and for how long
//	store.go        where: what a store promises
//	memory.go       the store of one process, with its bounds
//	unknown.go      writes of which nobody knows whether they were executed: the
//	                list, and what lets go of one
//
// A record is Pending from before the first byte leaves. It ends as Answered or
// as Unknown, or is removed if upstream has certainly not executed the write. It
// is never free because time has passed. That is why each claim must end exactly
// once, and why a claim that its holder cannot end is Unknown.
//
// A response counts as delivered when the app's connection has taken it and the
// app has not gone away since. An equal write after that is meant, and is sent:
// people do create two equal things. An equal write before that is a repeat.
//
// Claims are made in memory first and then in the shared store, if there is one,
// and end in the opposite order: so two equal writes of one process meet in memory.
package writes
