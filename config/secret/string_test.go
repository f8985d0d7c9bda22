package secret_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

const canary = "CANARY-5f1c9b"

// outer holds secrets where fmt finds them by reflection alone.
type outer struct {
	Public  secret.String
	hidden  secret.String
	pointer *secret.String
	list    []secret.String
	byName  map[string]secret.String
	inner   struct{ deep secret.String }
	any     any
}

func newOuter() outer {
	s := secret.New(canary)
	o := outer{Public: s, hidden: s, pointer: &s, list: []secret.String{s}, byName: map[string]secret.String{"k": s}, any: s}
	o.inner.deep = s
	return o
}

// mustHide fails if text holds the canary in a form that fmt can give it.
func mustHide(t *testing.T, how, text string) {
	t.Helper()
	for _, form := range []string{
		canary,
		hex.EncodeToString([]byte(canary)),
		strings.ToUpper(hex.EncodeToString([]byte(canary))),
		strings.Trim(fmt.Sprint([]byte(canary)), "[]"),
		fmt.Sprintf("% x", canary),
	} {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %q", how, text)
		}
	}
}

func TestNoVerbPrintsASecret(t *testing.T) {
	s, o := secret.New(canary), newOuter()
	for verb := 'A'; verb <= 'z'; verb++ {
		for _, flag := range []string{"", "+", "#", " ", "0", "-40", ".3", "# "} {
			format := "%" + flag + string(verb)
			if got := fmt.Sprintf(format, s); got != "[redacted]" && asksFormat(verb) {
				t.Errorf("Sprintf(%q) = %q, want [redacted]", format, got)
			}
			mustHide(t, format, fmt.Sprintf(format, s))
			mustHide(t, format+" of a pointer", fmt.Sprintf(format, &s))
			mustHide(t, format+" of a struct", fmt.Sprintf(format, o))
			mustHide(t, format+" of a struct pointer", fmt.Sprintf(format, &o))
		}
	}
	mustHide(t, "Print", fmt.Sprint(s, o, &o))
}

// asksFormat leaves out the verbs for which fmt does not call Format: %T, %p, and
// %w outside Errorf, which shows the address.
func asksFormat(r rune) bool {
	return (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') && !strings.ContainsRune("Tpw", r)
}

func TestStructWithUnexportedSecretPrintsAnAddressOnly(t *testing.T) {
	type holder struct {
		name   string
		hidden secret.String
	}
	got := fmt.Sprintf("%+v", holder{name: "app", hidden: secret.New(canary)})
	if !strings.HasPrefix(got, "{name:app hidden:{value:0x") {
		t.Errorf("%%+v = %q, want the name and an address", got)
	}
}

func TestGoStringIsRedacted(t *testing.T) {
	if got := secret.New(canary).GoString(); got != "[redacted]" {
		t.Errorf("GoString() = %q, want [redacted]", got)
	}
	mustHide(t, "%#v", fmt.Sprintf("%#v", newOuter()))
}

func TestMarshalersAreRedacted(t *testing.T) {
	s := secret.New(canary)
	got, err := json.Marshal(map[string]any{"a": s, "b": &s, "c": []secret.String{s}, "d": map[string]secret.String{"k": s}})
	want := `{"a":"[redacted]","b":"[redacted]","c":["[redacted]"],"d":{"k":"[redacted]"}}`
	if err != nil || string(got) != want {
		t.Errorf("json.Marshal = %s, %v, want %s", got, err, want)
	}
	text, err := s.MarshalText()
	if err != nil || string(text) != "[redacted]" {
		t.Errorf("MarshalText() = %s, %v, want [redacted]", text, err)
	}
	got, err = xml.Marshal(s)
	if err != nil || !strings.Contains(string(got), "[redacted]") {
		t.Errorf("xml.Marshal = %s, %v, want [redacted] in it", got, err)
	}
	mustHide(t, "xml", string(got))
	got, err = json.Marshal(newOuter())
	wiretest.Must(t, err)
	mustHide(t, "json of a struct", string(got))
}

func TestLoggersAreRedacted(t *testing.T) {
	s, o := secret.New(canary), newOuter()
	var out bytes.Buffer
	log := zerolog.New(&out).With().Interface("with", s).Logger()
	log.Error().Interface("interface", s).Any("any", s).Any("struct", o).Stringer("stringer", s).
		Fields(map[string]any{"field": s, "list": []any{s}}).Dict("dict", zerolog.Dict().Any("k", s)).
		Array("array", zerolog.Arr().Interface(s)).Err(fmt.Errorf("wrapped %v: %w", s, errors.New("x"))).
		Type("type", s).Str("str", s.String()).Msgf("message %s %v %x %+v", s, o, s, &o)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("slog", "a", s, "b", o, slog.Any("c", &s))
	slog.New(slog.NewTextHandler(&out, nil)).Info("slog", "a", s, "b", o)
	console := zerolog.New(zerolog.ConsoleWriter{Out: &out, NoColor: true})
	console.Info().Any("a", s).Any("b", o).Msgf("%v", s)
	mustHide(t, "log", out.String())
	if got := strings.Count(out.String(), "[redacted]"); got < 10 {
		t.Errorf("%d times [redacted] in the log, want 10 or more: %s", got, out.String())
	}
}

func TestErrorsAndTemplatesAreRedacted(t *testing.T) {
	s := secret.New(canary)
	err := fmt.Errorf("outer: %w", fmt.Errorf("mint for %s (%#v, %q)", s, s, s))
	mustHide(t, "error", err.Error())
	mustHide(t, "joined error", errors.Join(err, err).Error())
	var out bytes.Buffer
	wiretest.Must(t, template.Must(template.New("").Parse(`{{.}} {{printf "%s" .}}`)).Execute(&out, s))
	mustHide(t, "template", out.String())
}

func TestEqualComparesTexts(t *testing.T) {
	long := strings.Repeat("x", 5000)
	tests := []struct {
		name string
		a, b secret.String
		want bool
	}{
		{"both zero", secret.String{}, secret.New(""), true},
		{"same text", secret.New(canary), secret.New(canary), true},
		{"long", secret.New(long), secret.New(long), true},
		{"other text", secret.New(canary), secret.New(canary + "x"), false},
		{"other case", secret.New("a"), secret.New("A"), false},
		{"zero and text", secret.String{}, secret.New(canary), false},
	}
	for _, tc := range tests {
		if got := tc.a.Equal(tc.b); got != tc.want {
			t.Errorf("%s: Equal() = %v, want %v", tc.name, got, tc.want)
		}
		if got := tc.b.Equal(tc.a); got != tc.want {
			t.Errorf("%s: reversed Equal() = %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestZeroStringIsEmptyEverywhere(t *testing.T) {
	var s secret.String
	if !s.IsZero() || s.Len() != 0 || s.Reveal() != "" || s.String() != "" || fmt.Sprintf("%q", s) != "" {
		t.Errorf("zero String: IsZero %v, Len %d, Reveal %q, String %q", s.IsZero(), s.Len(), s.Reveal(), s.String())
	}
}

func TestRevealAndLenGiveTheText(t *testing.T) {
	var s secret.String
	wiretest.Must(t, s.Decode(canary))
	if s.Reveal() != canary || s.Len() != len(canary) || s.IsZero() {
		t.Errorf("Reveal() = %q, Len() = %d, want %q, %d", s.Reveal(), s.Len(), canary, len(canary))
	}
}

func TestSecretIsFoundInTextThatHoldsIt(t *testing.T) {
	s := secret.New("tok-123")
	for text, want := range map[string]bool{"tok-123": true, "xx tok-123 yy": true, "tok-12": false, "": false} {
		if got := s.In(text); got != want {
			t.Errorf("In(%q) = %v, want %v", text, got, want)
		}
	}
	if (secret.String{}).In("anything") {
		t.Error("the zero String is in a text")
	}
}

// The hash is the same in every process and for equal texts, differs for others,
// and shows nothing of the text.
func TestHashNamesTheValueWithoutTellingIt(t *testing.T) {
	const text = "3c1f5b1e-6d0a-4e4f-9a54-7d1c0b6f2a10"
	got := secret.New(text).Hash()
	if got != "d76279bd9d73" { // printf %s "$text" | sha256sum | cut -c1-12
		t.Errorf("Hash() = %q, want d76279bd9d73", got)
	}
	if got == secret.New(text+"x").Hash() || (secret.String{}).Hash() != "" {
		t.Error("two values have one hash, or none has one")
	}
}

func TestBearerOfATokenIsMadeOnce(t *testing.T) {
	token := secret.NewToken(canary)
	if got := token.Bearer(); got != "Bearer "+canary {
		t.Errorf("Bearer() = %q", got)
	}
	if token.Reveal() != canary || token.Len() != len(canary) || !token.Equal(secret.New(canary)) || !token.In("x"+canary) {
		t.Errorf("a token is not the text it was made of: %q, %d bytes", token.Reveal(), token.Len())
	}
	if allocs := testing.AllocsPerRun(100, func() { _ = token.Bearer() }); allocs != 0 {
		t.Errorf("Bearer() allocates %v times", allocs)
	}
	if got := secret.New(canary).Bearer(); got != "Bearer "+canary {
		t.Errorf("Bearer() of a plain String = %q", got)
	}
	if !secret.NewToken("").IsZero() {
		t.Error("an empty token is not the zero String")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if text := fmt.Sprintf(verb, struct{ token secret.String }{token}); strings.Contains(text, canary) || strings.Contains(text, "Bearer") {
			t.Errorf("%s shows a token: %s", verb, text)
		}
	}
}
