// Package wiretest is the kit of the tests that look at bytes: both ends of the
// wire, in the hands of a test. It imports nothing of ours.
//
//   - origin.go: Origin is an upstream made of a script; the script gets a Peer,
//     upstream's end of one connection, and may cut it anywhere; Loopback is a
//     listener, and Nobody an address without one
//   - app.go: App is a client that sees raw bytes
//   - taken.go: whether a server knows that an app has taken its response
//   - text.go: the bytes of ordinary requests and responses
//   - memory.go: connections without a socket. A Script has said everything and
//     hung up; Pipes is a listener of pipes
//   - bubble.go: InBubble serves one pipe where time passes at once
//   - relay.go: Relay is a bad link between two ends: slow, parted, lossy
//   - filter_linux.go, filter_other.go: segments that the kernel drops
//   - names.go: Names is a name server on loopback
//   - redis.go: RedisProgram finds the server of tests that need a real one
//   - authority.go: Authority signs certificates
//   - spoil.go: Spoil fills an object with what an earlier use could have left in it;
//     Left finds it again
//   - wait.go: Must ends a test at an error; Eventually waits for what another
//     goroutine does; Buffer is a log that is read while it is written; ManyAtOnce is
//     for tests that wait; Sized and Number say how much is tried
//
// The readers of the ledger in e2e are apart on purpose: a proof of what was
// sent must not trust the parser of net/http, which this kit uses.
package wiretest
