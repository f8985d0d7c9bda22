// Package redisstore shares tokens and write records between processes through Redis
// or Valkey. It implements tokencache.Store and writes.Store.
//
// Nothing in the server can be read without the client secret, and nothing of it is
// believed without it: values are sealed with keys that are derived from the secret,
// names are made with it, and a value opens under its own name alone. A party that
// can write there can switch sharing off, and no more.
//
// The walk of a question, in file order:
//
//   - store.go: Ask, as tokencache wants it; tell.go: what came of a claim.
//   - names.go: the names and keys that a pair of credentials makes.
//   - seal.go: a token as it is stored.
//   - verdict.go: what the endpoint said of a grant, and which replicas have received it.
//   - script.go, lua/: what the server does in one step.
//   - records.go: write records, as proxy/writes wants them.
//   - pace.go: when the next request of all replicas may be sent.
//   - breaker.go: a server that has failed is left alone for a while.
//   - client.go, sentinel.go: which connection, and to where.
//   - conn.go: one exchange on one connection.
//   - filter.go: no reply is longer or deeper than ours are.
//   - state.go: what operators see; examine.go: what the doctor asks.
package redisstore
