package identity

import (
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

func handlesOf(text string) *Handles {
	value := secret.New(text)
	return &Handles{secret: func() secret.String { return value }}
}

func TestHandleSaysWhatItWasMadeFor(t *testing.T) {
	h := handlesOf("client-secret")
	for _, s := range []Selection{{KindPartner, ""}, {KindUser, userA}, {KindNamed, "billing"}, {KindNamed, strings.Repeat("n", 63)}} {
		text := h.Make(s)
		if !regexp.MustCompile(`^mph1_[A-Za-z0-9_-]{38,126}$`).MatchString(text) {
			t.Errorf("handle %q is no short b64token", text)
		}
		if text == h.Make(s) {
			t.Errorf("two Handles for %v are the same", s)
		}
		for _, value := range []string{"Bearer " + text, "bearer " + text, "BEARER  " + text} {
			if got, refusal := h.Read([]string{value}); got != s || refusal != None {
				t.Errorf("read(%q) = %v, %v, want %v", value, got, refusal, s)
			}
		}
		// It shows nothing of whom it stands for, and nothing of the secret.
		for _, part := range []string{s.Of, "client-secret"} {
			if part != "" && strings.Contains(text, part) {
				t.Errorf("handle %q holds %q", text, part)
			}
		}
	}
}

// Whoever sends a token expects to be somebody, and must not become the default
// identity; with handles off it is the placeholder of an SDK.
func TestOtherTokensAreRefusedWhereHandlesAreOn(t *testing.T) {
	h := handlesOf("client-secret")
	var off *Handles
	for _, value := range []string{"Bearer", "Bearer ", "Bearer x", "Basic bXBoMV8=", "Bearer Mph1_x", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x",
		"x", "Negotiate"} {
		if got, refusal := h.Read([]string{value}); got != (Selection{}) || refusal != Handle {
			t.Errorf("read(%q) = %v, %v, want a refusal", value, got, refusal)
		}
		if got, refusal := off.Read([]string{value}); got != (Selection{}) || refusal != None {
			t.Errorf("with Handles off: read(%q) = %v, %v, want nothing", value, got, refusal)
		}
	}
	for _, none := range [][]string{nil, {""}} {
		if got, refusal := h.Read(none); got != (Selection{}) || refusal != None {
			t.Errorf("read(%q) = %v, %v, want nothing", none, got, refusal)
		}
	}
	if got, refusal := off.Read([]string{"Bearer " + h.Make(Selection{KindNamed, "billing"})}); got != (Selection{}) || refusal != Handle {
		t.Errorf("with Handles off: %v, %v, want a refusal", got, refusal)
	}
	if got, refusal := off.Read([]string{"Bearer x"}); got != (Selection{}) || refusal != None {
		t.Errorf("with Handles off, another token: %v, %v", got, refusal)
	}
	// What has a handle in another place expects to be somebody.
	for _, value := range []string{"mph1_x", "Bearer x mph1_", "Digest mph1_AAAA", "Bearer\tmph1_x", h.Make(Selection{KindUser, userA})} {
		if got, refusal := h.Read([]string{value}); got != (Selection{}) || refusal != Handle {
			t.Errorf("read(%q) = %v, %v, want a refusal", value, got, refusal)
		}
	}
	text := h.Make(Selection{KindPartner, ""})
	if _, refusal := h.Read([]string{"Bearer x", "Bearer " + text}); refusal != Handle {
		t.Errorf("beside another token: %v", refusal)
	}
	if _, refusal := h.Read([]string{"Bearer " + text, "Bearer " + h.Make(Selection{KindPartner, ""})}); refusal != Duplicate {
		t.Errorf("two Handles: %v", refusal)
	}
}

// No byte of it can be changed, and no other process with another secret makes it.
func TestAlteredHandleIsRefused(t *testing.T) {
	h := handlesOf("client-secret")
	text := h.Make(Selection{KindUser, userA})
	bad := []string{handlePrefix, text + "A", text[:len(text)-1], text + "=", text + " x", handlePrefix + strings.Repeat("A", 300),
		handlePrefix + strings.Repeat("A", 40), handlesOf("another").Make(Selection{KindUser, userA})}
	for i := len(handlePrefix); i < len(text); i++ {
		for _, c := range []string{"A", "_", "."} {
			if text[i:i+1] != c {
				bad = append(bad, text[:i]+c+text[i+1:])
			}
		}
	}
	// The last letter of this one holds bits that mean nothing: one spelling is enough.
	text = h.Make(Selection{KindNamed, "ab"})
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if last := len(text) - 1; text[last] != byte(c) {
			bad = append(bad, text[:last]+string(c))
		}
	}
	for _, altered := range bad {
		if got, refusal := h.Read([]string{"Bearer " + altered}); refusal != Handle {
			t.Errorf("read(%q) = %v, %v, want a refusal", altered, got, refusal)
		}
	}
	t.Logf("%d altered Handles", len(bad))
}

func TestHandleOutlivesRestartAndNewSecrets(t *testing.T) {
	text := handlesOf("client-secret").Make(Selection{KindNamed, "billing"})
	if _, refusal := handlesOf("client-secret").Read([]string{"Bearer " + text}); refusal != None {
		t.Errorf("after a restart: %v", refusal)
	}
	var now atomic.Pointer[secret.String]
	set := func(text string) { value := secret.New(text); now.Store(&value) }
	h := &Handles{secret: func() secret.String { return *now.Load() }}
	set("first")
	first := h.Make(Selection{KindNamed, "billing"})
	for i, next := range []string{"second", "second", "third", "fourth"} {
		set(next)
		h.Make(Selection{KindPartner, ""})
		if _, refusal := h.Read([]string{"Bearer " + first}); refusal != None {
			t.Errorf("after change %d: %v", i, refusal)
		}
	}
	set("fifth")
	if _, refusal := h.Read([]string{"Bearer " + first}); refusal != Handle {
		t.Errorf("four secrets later: %v, want it forgotten", refusal)
	}
}

// A secret that comes and goes, as in a rotation that is taken back again and
// again, is one secret.
func TestSecretThatComesBackPushesOutNoOther(t *testing.T) {
	var now atomic.Pointer[secret.String]
	set := func(text string) { value := secret.New(text); now.Store(&value) }
	h := &Handles{secret: func() secret.String { return *now.Load() }}
	set("first")
	first := h.Make(Selection{KindNamed, "billing"})
	for range 10 {
		for _, next := range []string{"second", "third"} {
			set(next)
			h.Make(Selection{KindPartner, ""})
		}
	}
	if _, refusal := h.Read([]string{"Bearer " + first}); refusal != None {
		t.Errorf("two other secrets, ten times each: %v", refusal)
	}
}

// What a token request may have: by arrival and header, grant and user.
func TestGrantOfTokenRequest(t *testing.T) {
	userDefault := people()
	userDefault.Default, userDefault.EntityUsers = asUserA, idSet{userA: true}
	const cc, eu = "client_credentials", "entity_user"
	for _, c := range []struct {
		policy           Policy
		listener, prefix string
		grant, user      string
		fields           []string
		want             Selection
		refusal          Refusal
	}{
		{people(), "", "", cc, "", nil, Selection{KindPartner, ""}, None},
		{people(), "", "", eu, userA, nil, Selection{KindUser, userA}, None},
		{people(), "", "", eu, strings.ToUpper(userA), []string{HeaderUser, userA}, Selection{KindUser, userA}, None},
		{people(), "", "", eu, userC, nil, Selection{}, User},
		{people(), "", "", eu, userA, []string{HeaderUser, userB}, Selection{}, Duplicate},
		{people(), "", "", cc, "", []string{HeaderUser, userA}, Selection{}, Duplicate},
		{people(), "", "", cc, userA, nil, Selection{}, TokenRequest},
		{people(), "", "", eu, "", nil, Selection{}, TokenRequest},
		{people(), "", "", eu, "x", nil, Selection{}, TokenRequest},
		{people(), "", "", "password", "", nil, Selection{}, TokenRequest},
		{people(), "", "", "", "", nil, Selection{}, TokenRequest},
		{userDefault, "", "", cc, "", nil, Selection{}, Grant},
		{userDefault, "", "", eu, userA, nil, Selection{KindUser, userA}, None},
		{people(), "", "/as/billing", eu, userB, nil, Selection{KindNamed, "billing"}, None},
		{people(), "billing:1", "", eu, userB, []string{HeaderName, "billing"}, Selection{KindNamed, "billing"}, None},
		{people(), "", "", eu, userB, []string{HeaderName, "billing"}, Selection{KindNamed, "billing"}, None},
		{people(), "", "/as/billing", cc, "", nil, Selection{}, Grant},
		{people(), "", "/as/billing", eu, userA, nil, Selection{}, User},
		{people(), "", "/as/billing", eu, userB, []string{HeaderUser, userA}, Selection{}, User},
		{people(), "", "/shop", cc, "", nil, Selection{KindNamed, "shop"}, None},
		{people(), "", "/shop", eu, userB, nil, Selection{}, Grant},
		{people(), "reports:1", "", cc, "", nil, Selection{KindNamed, "reports"}, None},
		{people(), "reports:1", "/shop", cc, "", nil, Selection{}, Duplicate},
		{people(), "", "", cc, "", []string{HeaderName, "reports"}, Selection{}, Unknown},
		{people(), "", "", cc, "", []string{"X_monite_identity", "shop"}, Selection{}, Malformed},
	} {
		v := NewView(c.policy)
		by := Arrival{Listener: c.listener, Prefix: v.byPrefix[c.prefix], Handle: Selection{KindNamed, "user"}}
		got, refusal := v.Grant(wireHeader(c.fields), by, tokencache.GrantType(c.grant), c.user)
		if refusal != c.refusal || refusal == None && got != c.want {
			t.Errorf("%+v: grant = %v, %v", c, got, refusal)
		}
	}
}
