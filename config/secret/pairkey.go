package secret

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
)

// PairKey derives a key from a client id and its secret for one use, which label
// and parts name. Nothing leads from the key back to the pair.
func PairKey(id, clientSecret String, label string, parts ...string) [32]byte {
	return derive(clientSecret, string(JoinParts(append(append([]string{label}, parts...), id.Reveal())...)))
}

// derive is HKDF-SHA-256 (RFC 5869) without a salt, which would have to be shared.
func derive(from String, info string) (key [32]byte) {
	derived, err := hkdf.Key(sha256.New, []byte(from.Reveal()), nil, info, len(key))
	if err != nil {
		panic("secret: " + err.Error()) // only for a length that HKDF does not have
	}
	copy(key[:], derived)
	return key
}

// Digest is the SHA-256 of label, parts and s. It is for ids, which cannot be
// guessed, as Hash is.
func (s String) Digest(label string, parts ...string) [32]byte {
	return sha256.Sum256(JoinParts(append(append([]string{label}, parts...), s.Reveal())...))
}

// JoinParts puts parts one after the other, each behind its length as four bytes:
// no two lists of parts are joined to the same bytes.
func JoinParts(parts ...string) []byte {
	var joined []byte
	for _, part := range parts {
		joined = binary.BigEndian.AppendUint32(joined, uint32(len(part)))
		joined = append(joined, part...)
	}
	return joined
}
