// Package tokencache keeps one access token per grant and makes sure that no caller
// waits for one that could have been fetched earlier, and that none is fetched twice.
// It knows time and concurrency, and nothing of HTTP or JSON.
//
// The walk of a token, in file order:
//
//   - grant.go: a Grant, for which a token is minted, and the key.
//   - minted.go: what came back, immutable. Its age, by whichever clock says
//     older, makes it fresh, stale or expired.
//   - failure.go: what did not come back, immutable, and when to try again.
//   - table.go: grant -> entry, read without a lock, bounded; what was used once
//     goes before what was used again, the least recently used first.
//   - cache.go: Token. A fresh or a stale token is one look-up; without one the
//     caller waits for the mint that is under way, or for the next try if that
//     is near, and leaves on its own context.
//   - pace.go: the line to the token endpoint. So many mints at once and in a
//     second, by lanes of which none starves.
//   - store.go: what a cache wants of a Store that other processes share.
//   - others.go: the questions to it. A token that another process minted is taken
//     over; else one process mints, and the others wait for its token, but not long.
//   - mint.go: the one mint per grant, on the cache's own context, and what its
//     outcome changes.
//   - run.go: Run refreshes ahead of expiry the grants that were used lately,
//     and owns every mint: when it has returned, none is left.
//   - lasting.go: Lasting gives a token away, to a caller that keeps it for a while.
//   - prove.go: Prove gets one token and keeps nothing: for new credentials.
//   - status.go: what the metrics and the status endpoint show.
//
// Without Run the cache is lazy, and still right.
package tokencache
