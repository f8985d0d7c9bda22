package redisstore

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

func user(n int) tokencache.Grant {
	return tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012x", n)}
}

func ringOf(origin, id, clientSecret string) *ring {
	return newRing(origin, secret.New(id), secret.New(clientSecret))
}

// Two versions that run side by side must agree.
func TestNamesArePinned(t *testing.T) {
	r := ringOf("https://api.sandbox.monite.com", "11111111-2222-4333-8444-555555555555", "99999999-8888-4777-8666-555555555555")
	k := r.keys(user(7))
	for got, want := range map[string]string{
		r.prefix:  "monite-proxy:1:{d47743fa078d680a}:",
		r.pair:    "cd08974b851ea6dc32dfed9ec8d0cc3a",
		k.token:   r.prefix + "t:8a184284101e0b22d04610d94671fbb6",
		k.budget:  r.prefix + "g",
		k.pause:   r.prefix + "c:" + r.pair,
		k.lease:   strings.Replace(k.token, ":t:", ":l:", 1),
		k.verdict: strings.Replace(k.token, ":t:", ":v:", 1),
		k.crowd:   strings.Replace(k.token, ":t:", ":w:", 1),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// NAMES sets how many grants; 1,000,000 is what the names are claimed to hold.
func TestNoTwoGrantsShareAName(t *testing.T) {
	n := 20_000
	if text := os.Getenv("NAMES"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	r, seen := ringOf("o", "c", "s"), make(map[string]bool, n)
	add := func(g tokencache.Grant) {
		name := r.keys(g).token
		if seen[name] {
			t.Fatalf("the name of %v is taken", g)
		}
		seen[name] = true
	}
	for _, g := range []tokencache.Grant{
		{}, {Type: "a|b", EntityUserID: "c"}, {Type: "a", EntityUserID: "b|c"}, {Type: "ab", EntityUserID: "c"}, {Type: "a", EntityUserID: "bc"},
		{Type: "abc"}, {EntityUserID: "abc"}, {Type: "a\x00\x00\x00\x01b"}, {Type: "a", EntityUserID: "b"}, partner,
	} {
		add(g)
	}
	for i := range n {
		add(user(i))
	}
}

func TestPairsAndOriginsShareNothingButTheBudget(t *testing.T) {
	one := ringOf("https://a", "id", "secret").keys(partner)
	for name, other := range map[string]*ring{
		"another secret": ringOf("https://a", "id", "secret2"), "another id": ringOf("https://a", "id2", "secret"),
		"another origin": ringOf("https://b", "id", "secret"),
	} {
		k := other.keys(partner)
		if k.token == one.token || k.lease == one.lease || k.verdict == one.verdict || k.pause == one.pause {
			t.Errorf("%s: a name is shared", name)
		}
		if shared := k.budget == one.budget; shared != (name == "another secret") {
			t.Errorf("%s: the budget is shared: %t", name, shared)
		}
	}
}

var sample = tokencache.Token{AccessToken: secret.NewToken("a-token." + strings.Repeat("x", 100)), ExpiresIn: 30 * time.Minute}

func TestSealedTokenOpensAsItWas(t *testing.T) {
	r, wall, born := ringOf("o", "c", "s"), time.UnixMilli(1_790_000_000_123), time.UnixMilli(1_790_000_000_456)
	for _, text := range []string{"t", strings.Repeat("x", secret.MaxLen)} {
		token := tokencache.Token{AccessToken: secret.NewToken(text), ExpiresIn: 17 * time.Minute}
		mark := newMark(born)
		value, err := r.sealToken("key", mark, token, wall, false)
		if err != nil || len(value) != 59+len(text) || len(value) > maxBulk {
			t.Fatalf("%d bytes, %v, want %d", len(value), err, 59+len(text))
		}
		got, err := r.openToken("key", value)
		if err != nil || !got.token.Equal(token.AccessToken) || got.lifetime != token.ExpiresIn || !got.wall.Equal(wall) ||
			!got.born.Equal(born) || got.mark != mark {
			t.Errorf("openToken() = %+v, %v", got, err)
		}
	}
	if _, err := r.sealToken("key", newMark(born), tokencache.Token{AccessToken: secret.New("a token")}, wall, false); err == nil {
		t.Error("what is no bearer token is sealed")
	}
}

func TestTokenOpensUnderItsOwnNameAndWholeOnly(t *testing.T) {
	r := ringOf("o", "c", "s")
	value, _ := r.sealToken("key", newMark(time.Now()), sample, time.Now(), false)
	opens := func(r *ring, key string, value []byte) bool {
		_, err := r.openToken(key, value)
		return err == nil
	}
	for i := range value {
		for _, bit := range []byte{1, 0x80} {
			changed := append([]byte(nil), value...)
			changed[i] ^= bit
			if opens(r, "key", changed) {
				t.Errorf("byte %d changed: it opens", i)
			}
		}
		if opens(r, "key", value[:i]) {
			t.Errorf("cut at %d: it opens", i)
		}
	}
	if opens(r, "key", append(append([]byte(nil), value...), 0)) || opens(r, "key2", value) || opens(ringOf("o", "c", "s2"), "key", value) ||
		opens(ringOf("o2", "c", "s"), "key", value) {
		t.Error("it opens longer, under another name, or with another key")
	}
	if !opens(r, "key", value) {
		t.Error("it does not open")
	}
	// What opens with the right key but holds nonsense is not used either.
	for _, plain := range [][]byte{nil, make([]byte, 17), append(make([]byte, 16), 0, 9, 'x'),
		append([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), make([]byte, 20)...), append(make([]byte, 16), 0, 3, 'a', '\r', '\n')} {
		mark := newMark(time.Now())
		value := r.seal.Seal([]byte(mark), []byte(mark[bornDigits:]), plain, []byte("key"+mark[:bornDigits]))
		if opens(r, "key", value) {
			t.Errorf("%q is taken for a token", plain)
		}
	}
	for _, after := range []bool{false, true} {
		value, _ := r.sealToken("key", newMark(time.Now()), sample, time.Now(), after)
		if got, err := r.openToken("key", value); err != nil || got.afterRefusal != after {
			t.Errorf("minted after a refusal: %t, %v, want %t", got.afterRefusal, err, after)
		}
	}
	// A later version may add something behind the token.
	mark := newMark(time.Now())
	later := r.seal.Seal([]byte(mark), []byte(mark[bornDigits:]), append(make([]byte, 16), 0, 2, 'o', 'k', 'm', 'o', 'r', 'e'),
		[]byte("key"+mark[:bornDigits]))
	if got, err := r.openToken("key", later); err != nil || !got.token.Equal(secret.New("ok")) {
		t.Errorf("a value of a later version: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	r := ringOf("o", "c", "s")
	value, _ := r.sealToken("key", newMark(time.Now()), sample, time.Now(), false)
	f.Add(value)
	f.Add([]byte{})
	f.Add([]byte("0000000000000000000000000"))
	f.Add(r.sealBytes("key", (&verdict{reason: tokencache.Rejected, witnesses: []witness{{1}, {2}}}).encode()))
	f.Fuzz(func(t *testing.T, value []byte) {
		if got, err := r.openToken("key", value); err == nil && !got.token.Equal(sample.AccessToken) {
			t.Error("a token that nobody sealed")
		}
		r.openVerdict("key", value)
		if v, err := decodeVerdict(value); err == nil && len(v.witnesses) > 2 {
			t.Error("a verdict of three")
		}
	})
}

func TestVerdictCountsWithTwoWitnesses(t *testing.T) {
	refused := &tokencache.FetchError{Reason: tokencache.Rejected, Status: 401}
	a, b, c := witness{1}, witness{2}, witness{3}
	counts := func(v *verdict, at int64) bool {
		r := ringOf("o", "c", "s")
		opened := r.openVerdict("key", r.sealBytes("key", v.encode()))
		if opened == nil || r.openVerdict("other", r.sealBytes("key", v.encode())) != nil {
			t.Fatal("a verdict does not open, or under another name")
		}
		_, ok := opened.counts(at)
		return ok
	}
	alone, lasts := newVerdict(refused, nil, a, 1000)
	again, _ := newVerdict(refused, alone, a, 1000)
	two, _ := newVerdict(refused, alone, b, 1000)
	three, _ := newVerdict(refused, two, c, 1000)
	if counts(alone, 1000) || counts(again, 1000) || !counts(two, 1000) || !counts(three, 1000) || lasts != 5*time.Second {
		t.Error("a verdict of one counts, or one of two does not")
	}
	if counts(two, 6000) || !counts(two, 5999) {
		t.Error("a verdict counts past its end, or not to its end")
	}
	forged := &verdict{reason: tokencache.Throttled, until: 1 << 60, witnesses: []witness{a, b}}
	if left, ok := forged.counts(0); !ok || left != time.Minute {
		t.Errorf("a verdict for ever counts for %v, want a minute", left)
	}
	for _, reason := range []tokencache.Reason{tokencache.Unavailable, tokencache.Malformed, tokencache.TimedOut, tokencache.Paced} {
		if v, _ := newVerdict(&tokencache.FetchError{Reason: reason}, nil, a, 0); v != nil {
			t.Errorf("%s is told to others", reason)
		}
	}
}
