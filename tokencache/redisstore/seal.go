package redisstore

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

const (
	bornDigits = 13 // of a moment in ms, until the year 2286
	nonceLen   = 12
	markLen    = bornDigits + nonceLen
	// maxLifetime is that of the cache, too.
	maxLifetime = 24 * time.Hour
)

var errNotOurs = errors.New("the value cannot be opened")

// sealed is a token as it is stored:
//
//	13 digits   born: ms of the server's clock, before the mint was sent. In the
//	            clear, because scripts compare it.
//	12 bytes    nonce
//	the rest    AES-256-GCM of lifetime (u64 ms), the moment of the mint by the clock
//	            of who minted (u64 ms), the token's length (u16), the token, a byte 1 if
//	            it was minted after a refusal, and what later versions add
//
// The first 25 bytes are the token's mark. The key name and born are authenticated:
// a value does not open under another key, nor with another age.
func (r *ring) sealToken(key, mark string, t tokencache.Token, wall time.Time, afterRefusal bool) ([]byte, error) {
	text := t.AccessToken.Reveal()
	if err := secret.CheckBearer(text); err != nil {
		return nil, fmt.Errorf("the token %w", err)
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(min(t.ExpiresIn, maxLifetime).Milliseconds()))
	plain = binary.BigEndian.AppendUint64(plain, uint64(wall.UnixMilli()))
	plain = binary.BigEndian.AppendUint16(plain, uint16(len(text)))
	plain = append(plain, text...)
	if afterRefusal {
		plain = append(plain, 1)
	}
	return r.seal.Seal([]byte(mark), []byte(mark[bornDigits:]), plain, []byte(key+mark[:bornDigits])), nil
}

// opened is the content of a sealed token.
type opened struct {
	token secret.String
	mark  string
	// born by the server's clock, wall by that of the process that minted.
	born, wall time.Time
	lifetime   time.Duration
	// afterRefusal says that upstream had refused a token before this one was minted.
	afterRefusal bool
}

func (r *ring) openToken(key string, value []byte) (opened, error) {
	if len(value) < markLen {
		return opened{}, errNotOurs
	}
	mark := string(value[:markLen])
	born, ok := digits(mark[:bornDigits])
	if !ok {
		return opened{}, errNotOurs
	}
	plain, err := r.seal.Open(nil, value[bornDigits:markLen], value[markLen:], []byte(key+mark[:bornDigits]))
	if err != nil || len(plain) < 18 {
		return opened{}, errNotOurs
	}
	lifetime, wall := binary.BigEndian.Uint64(plain), binary.BigEndian.Uint64(plain[8:])
	length := int(binary.BigEndian.Uint16(plain[16:]))
	if len(plain) < 18+length || lifetime > uint64(maxLifetime.Milliseconds()) || wall > 1<<53 {
		return opened{}, errNotOurs
	}
	text := string(plain[18 : 18+length])
	if secret.CheckBearer(text) != nil {
		return opened{}, errNotOurs
	}
	return opened{
		token: secret.NewToken(text), mark: mark, born: time.UnixMilli(born), wall: time.UnixMilli(int64(wall)),
		lifetime:     time.Duration(lifetime) * time.Millisecond,
		afterRefusal: len(plain) > 18+length && plain[18+length] == 1,
	}, nil
}

// newMark is the mark of a token whose mint is sent after the moment born.
func newMark(born time.Time) string {
	nonce := make([]byte, nonceLen)
	_, _ = rand.Read(nonce) // it does not fail
	return fmt.Sprintf("%013d", born.UnixMilli()) + string(nonce)
}

// digits reads a decimal number of at most 18 digits.
func digits(text string) (n int64, ok bool) {
	number, err := strconv.ParseUint(text, 10, 63)
	return int64(number), err == nil && len(text) <= 18
}

// sealBytes seals what is not a token under the name of its key.
func (r *ring) sealBytes(key string, plain []byte) []byte {
	nonce := make([]byte, nonceLen, nonceLen+len(plain)+r.seal.Overhead())
	_, _ = rand.Read(nonce)
	return r.seal.Seal(nonce, nonce, plain, []byte(key))
}

func (r *ring) openBytes(key string, value []byte) ([]byte, error) {
	if len(value) < nonceLen {
		return nil, errNotOurs
	}
	plain, err := r.seal.Open(nil, value[:nonceLen], value[nonceLen:], []byte(key))
	if err != nil {
		return nil, errNotOurs
	}
	return plain, nil
}
