package writes

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// HeadBytes is the part of a long body that is compared.
const HeadBytes = 64 << 10

// Request holds the properties by which two writes are the same.
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
	// each try, so it is not part of the fingerprint. Neither is the rest of
	// ContentType.
	ContentType string
}

// Fingerprint names the request. Two requests have the same one only if they
// have the same identity, method, target, length and Head, the boundary of a
// multipart Head apart: every part goes into the hash behind its length, so no
// part can pass for the end of another.
func (r *Request) Fingerprint() Name {
	var room [512]byte
	b := part(r.begin(room[:0], "request"), r.Method)
	b = part(b, r.Target)
	whole := int64(len(r.Head)) == r.Length
	parts, ok := split(r.Head, boundaryOf(r.ContentType), whole)
	if !ok {
		b = number(part(b, "body"), r.Length)
		sum := sha256.Sum256(r.Head)
		return sha256.Sum256(part(b, sum[:]))
	}
	b = part(b, "multipart")
	if !whole {
		b = number(b, r.Length)
	}
	for _, one := range parts {
		sum := sha256.Sum256(one)
		b = part(b, sum[:])
	}
	return sha256.Sum256(b)
}

// keyName names an idempotency key of the request's identity.
func (r *Request) keyName(key string) Name { return r.name("key", key) }

// resource names a path as the request's identity sees it.
func (r *Request) resource(path string) Name { return r.name("resource", path) }

func (r *Request) name(kind, of string) Name {
	var room [512]byte
	return sha256.Sum256(part(r.begin(room[:0], kind), of))
}

// begin writes the beginning of every name: its kind, and its owner.
func (r *Request) begin(b []byte, kind string) []byte {
	return part(part(part(part(b, kind), r.GrantType), r.EntityUserID), r.EntityID)
}

// resources names what a person reads to see what became of the write: its own
// path, for a create or a change; and the path up to its last id, for an action
// such as /v1/payables/{id}/approve_payment_operation, or, without an id, the
// collection, as for /v1/payables/upload_from_file.
func (r *Request) resources() []Name {
	path := readPath(r.Target)
	segments := strings.Split(path, "/")
	upTo := min(len(segments), len([]string{"", "v1", "payables"}))
	for i, segment := range slices.Backward(segments) {
		if isID(segment) {
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

// part adds a part behind its length.
func part[T string | []byte](b []byte, p T) []byte { return append(number(b, int64(len(p))), p...) }

func number(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(n)) //nolint:gosec // the bits are compared
}
