package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// What a handle stands for.
const (
	KindNone    = 0
	KindPartner = 'p' // the default identity with a partner-level grant
	KindUser    = 'u' // the default identity as an entity user
	KindNamed   = 'n' // a named identity
)

// Selection is the content of a handle: as much as the headers could say, and no
// more. The zero value says nothing.
type Selection struct {
	Kind byte
	Of   string // the user's UUID in lower case, or the name
}

const (
	// handlePrefix tells a handle from the token of some other system. The digit is
	// for another form to come.
	handlePrefix = "mph1_"
	handleLabel  = "monite-proxy token handle 1"
	nonceBytes   = 12
	maxHandle    = 256
	// maxHandleKeys is the number of client secrets for which handles are recognised.
	maxHandleKeys = 4
)

// Handles makes and reads what an app gets instead of a token: encrypted text
// that only says whom it selects. It is worth nothing elsewhere, and here no
// more than the header that says the same: each request that brings it is
// resolved anew.
//
// The key comes from the client secret, so that handles outlive a restart and are the
// same for all replicas: an SDK keeps its token until it is told that the token is
// old, and we never say so. For the same reason they have no end.
type Handles struct {
	secret func() secret.String
	mu     sync.Mutex // held to change keys
	keys   atomic.Pointer[[]handleKey]
}

// handleKey is the key that was derived from a client secret.
type handleKey struct {
	secret secret.String
	aead   cipher.AEAD
}

// current returns the keys, that of the client secret of now first. One that
// was changed while the process runs is remembered.
func (h *Handles) current() []handleKey {
	now := h.secret()
	if keys := h.keys.Load(); keys != nil && (*keys)[0].secret == now { // the same pointer
		return *keys
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var keys []handleKey
	if old := h.keys.Load(); old != nil {
		keys = *old
	}
	if len(keys) > 0 && keys[0].secret.Equal(now) {
		return keys
	}
	// A secret that is back must not push another one out by being here twice.
	keys = slices.DeleteFunc(slices.Clone(keys), func(old handleKey) bool { return old.secret.Equal(now) })
	key := now.Key(handleLabel)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("identity: " + err.Error()) // only for a length that AES does not have
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("identity: " + err.Error())
	}
	keys = append([]handleKey{{now, aead}}, keys...)
	keys = keys[:min(len(keys), maxHandleKeys)]
	h.keys.Store(&keys)
	return keys
}

// NewHandles makes handles with a key from the client secret that secret returns.
func NewHandles(secret func() secret.String) *Handles { return &Handles{secret: secret} }

// Make returns a handle: letters, digits, "-" and "_", which are a b64token of
// RFC 6750 section 2.1.
func (h *Handles) Make(s Selection) string {
	plain := append(make([]byte, 0, 1+len(s.Of)), s.Kind)
	if s.Kind == KindUser {
		id, _ := hex.DecodeString(strings.ReplaceAll(s.Of, "-", ""))
		plain = append(plain, id...)
	} else {
		plain = append(plain, s.Of...)
	}
	sealed := make([]byte, nonceBytes, nonceBytes+len(plain)+16)
	_, _ = rand.Read(sealed) // never fails
	sealed = h.current()[0].aead.Seal(sealed, sealed, plain, []byte(handlePrefix))
	return handlePrefix + base64.RawURLEncoding.EncodeToString(sealed)
}

// Read returns what the Authorization of a request stands for. With handles on,
// whatever is not one is refused: the app expects to act as a certain identity, and
// must not become the default one instead. With handles off, which is a nil h, all is
// ignored but what looks like a handle.
func (h *Handles) Read(authorization []string) (Selection, Refusal) {
	found := ""
	for _, value := range authorization {
		scheme, text, _ := strings.Cut(value, " ")
		text = strings.Trim(text, " ")
		if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(text, handlePrefix) {
			if strings.Contains(value, handlePrefix) || h != nil && value != "" {
				return Selection{}, Handle
			}
			continue
		}
		if found != "" && found != text {
			return Selection{}, Duplicate
		}
		found = text
	}
	switch {
	case found == "":
		return Selection{}, None
	case h == nil: // switched off since; an app that holds one must not become the default
		return Selection{}, Handle
	}
	var buffer [maxHandle]byte
	encoded := found[len(handlePrefix):]
	if len(encoded) > maxHandle || base64.RawURLEncoding.DecodedLen(len(encoded)) < nonceBytes+16+1 {
		return Selection{}, Handle
	}
	n, err := base64.RawURLEncoding.Strict().Decode(buffer[:], []byte(encoded))
	if err != nil {
		return Selection{}, Handle
	}
	for _, key := range h.current() {
		plain, err := key.aead.Open(nil, buffer[:nonceBytes], buffer[nonceBytes:n], []byte(handlePrefix))
		if err != nil {
			continue
		}
		s := Selection{plain[0], string(plain[1:])}
		if s.Kind == KindUser {
			s.Of = formatUUID(plain[1:])
		}
		return s, None
	}
	return Selection{}, Handle
}

func formatUUID(id []byte) string {
	text := hex.EncodeToString(id)
	if len(text) != 32 {
		return text
	}
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
