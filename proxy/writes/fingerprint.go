package writes

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"
)

// HeadBytes is how much of a long body is looked at.
const HeadBytes = 64 << 10

// Request is what makes two writes the same.
type Request struct {
	// On whose behalf: the grant, and the entity that is named.
	GrantType, EntityUserID, EntityID string
	Method                            string
	// Target is the request target as upstream gets it: path and query, byte for byte.
	Target string
	// Length of the body, -1 where it is not known.
	Length int64
	// Head is the beginning of the body: all of it, or its first HeadBytes.
	Head []byte
	// ContentType finds the boundary of a multipart body. Clients make a new one for
	// each try, so it is no part of the fingerprint. Neither is the rest of ContentType.
	ContentType string
}

// Fingerprint names the request. Two requests have the same one only if they
// have the same identity, method, target, length and Head, the boundary of a
// multipart Head apart: every part goes into the hash behind its length, so no
// part can pass for the end of another.
func (r *Request) Fingerprint() Name {
	h := r.hash("request")
	part(h, r.Method)
	part(h, r.Target)
	whole := int64(len(r.Head)) == r.Length
	parts, ok := split(r.Head, boundaryOf(r.ContentType), whole)
	if !ok {
		part(h, "body")
		number(h, r.Length)
		part(h, r.Head)
		return sum(h)
	}
	part(h, "multipart")
	if !whole {
		number(h, r.Length)
	}
	for _, one := range parts {
		part(h, one)
	}
	return sum(h)
}

// keyName names an idempotency key of the request's identity.
func (r *Request) keyName(key string) Name {
	h := r.hash("key")
	part(h, key)
	return sum(h)
}

// resource names a path as the request's identity sees it.
func (r *Request) resource(path string) Name {
	h := r.hash("resource")
	part(h, path)
	return sum(h)
}

func (r *Request) hash(kind string) hash.Hash {
	h := sha256.New()
	part(h, kind)
	part(h, r.GrantType)
	part(h, r.EntityUserID)
	part(h, r.EntityID)
	return h
}

// resources names what a person reads to see what became of the write: its own
// path, for a create or a change; and the path up to its last id, for an action
// such as /v1/payables/{id}/approve_payment_operation, or, without an id, the
// collection, as for /v1/payables/upload_from_file.
func (r *Request) resources() []Name {
	path := readPath(r.Target)
	segments := strings.Split(path, "/")
	upTo := min(len(segments), len([]string{"", "v1", "payables"}))
	for i := len(segments) - 1; i > 0; i-- {
		if isID(segments[i]) {
			upTo = i + 1
			break
		}
	}
	names := []Name{r.resource(path)}
	if shorter := strings.Join(segments[:upTo], "/"); shorter != path {
		names = append(names, r.resource(shorter))
	}
	return names
}

// readPath is the path of target, without a slash at its end.
func readPath(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return strings.TrimSuffix(path, "/")
}

// isID reports whether text is a UUID, which all ids of Monite are.
func isID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i := range len(text) {
		switch c := text[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c|0x20 >= 'a' && c|0x20 <= 'f':
		default:
			return false
		}
	}
	return true
}

func part[T string | []byte](h hash.Hash, p T) {
	number(h, int64(len(p)))
	_, _ = h.Write([]byte(p)) // never fails
}

func number(h hash.Hash, n int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n)) //nolint:gosec // the bits are what counts
	_, _ = h.Write(b[:])
}

func sum(h hash.Hash) (name Name) {
	h.Sum(name[:0])
	return name
}
