package redisstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// format is a part of every name and key. Another one is a separate world, so it
// changes only when an older reader could not live beside a newer writer.
const format = "1"

const label = "monite-proxy shared " + format

// Credentials gives the client id and secret that are live at this moment.
type Credentials interface {
	Pair() (id, secret secret.String)
}

// ring makes names and seals with one pair of credentials. A party without the pair
// can neither read a value nor tell what a key stands for.
type ring struct {
	id, secret secret.String
	prefix     string // of all keys: those of one client id are in one slot of a Cluster
	pair       string
	seal       cipher.AEAD
	nameKey    [32]byte
	recordKey  [32]byte // of the names of write records
}

func newRing(origin string, id, clientSecret secret.String) *ring {
	tag := id.Digest(label, origin)
	sealKey := secret.PairKey(id, clientSecret, label, "seal", origin)
	block, err := aes.NewCipher(sealKey[:])
	if err != nil {
		panic("redisstore: " + err.Error()) // only for a key of another length
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		panic("redisstore: " + err.Error())
	}
	r := &ring{
		id: id, secret: clientSecret, seal: seal,
		// The tag does not depend on the secret: both pairs of one client id share the
		// budget while the secret is rotated.
		prefix:  "monite-proxy:" + format + ":{" + hex.EncodeToString(tag[:8]) + "}:",
		nameKey: secret.PairKey(id, clientSecret, label, "name", origin),
		// Nor do the names of write records: a write that was sent before the rotation
		// must not be free after it.
		recordKey: secret.PairKey(id, secret.String{}, label, "records", origin),
	}
	r.pair = r.name("pair")
	return r
}

// name is a name that only this pair makes of these parts.
func (r *ring) name(parts ...string) string { return nameBy(r.nameKey, parts...) }

func nameBy(key [32]byte, parts ...string) string {
	mac := hmac.New(sha256.New, key[:])
	_, _ = mac.Write(secret.JoinParts(parts...))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// record is the key of a write record.
func (r *ring) record(name [32]byte) string {
	return r.prefix + "i:" + nameBy(r.recordKey, "record", string(name[:]))
}

// keys of one grant.
type keys struct {
	token, lease, verdict, pause, budget, crowd string
}

func (r *ring) keys(g tokencache.Grant) keys {
	name := r.name("grant", string(g.Type), g.EntityUserID)
	return keys{
		token: r.prefix + "t:" + name, lease: r.prefix + "l:" + name, verdict: r.prefix + "v:" + name,
		pause: r.prefix + "c:" + r.pair, budget: r.prefix + "g", crowd: r.prefix + "w:" + name,
	}
}

// rings keeps the ring of the live pair and that of a new one that waits for its
// proof.
type rings struct {
	origin string

	mu     sync.Mutex // guards recent
	recent [2]*ring   // the last used first
}

func (r *rings) of(c Credentials) *ring { return r.get(c.Pair()) }

func (r *rings) get(id, clientSecret secret.String) *ring {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, known := range r.recent {
		if known != nil && known.id.Equal(id) && known.secret.Equal(clientSecret) {
			r.recent[0], r.recent[i] = r.recent[i], r.recent[0]
			return known
		}
	}
	made := newRing(r.origin, id, clientSecret)
	r.recent[0], r.recent[1] = made, r.recent[0]
	return made
}
