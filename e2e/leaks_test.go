package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// newCanary makes a value that must turn up nowhere. The characters in the
// middle come out differently in JSON, in URLs and in Go's quotes.
func newCanary(middle string) string {
	return rand.Text()[:20] + middle + rand.Text()[:20]
}

// hit is a place in which a canary was found.
type hit struct{ canary, form, place string }

// sweep looks for canaries (name -> value) in texts (place -> text), in every
// form in which a value could slip through. Case does not count.
func sweep(canaries, texts map[string]string) (hits []hit) {
	for name, value := range canaries {
		forms := spellings("", value)
		forms = append(forms, spellings("first half, ", value[:len(value)/2])...)
		forms = append(forms, spellings("second half, ", value[len(value)/2:])...)
		for place, text := range texts {
			text = strings.ToLower(text)
			for _, form := range forms {
				if strings.Contains(text, strings.ToLower(form.text)) {
					hits = append(hits, hit{name, form.name, place})
				}
			}
		}
	}
	return hits
}

type spelling struct{ name, text string }

func spellings(prefix, value string) []spelling {
	quoted, _ := json.Marshal(value)
	backwards := []byte(value)
	slices.Reverse(backwards)
	all := []spelling{
		{"plain", value},
		{"JSON", strings.Trim(string(quoted), `"`)},
		{"Go quotes", strings.Trim(fmt.Sprintf("%q", value), `"`)},
		{"query", url.QueryEscape(value)},
		{"path", url.PathEscape(value)},
		{"hex", hex.EncodeToString([]byte(value))},
		{"hex with spaces", strings.TrimSpace(fmt.Sprintf("% x", value))},
		{"decimal bytes", strings.Trim(fmt.Sprint([]byte(value)), "[]")},
		{"reversed", string(backwards)},
	}
	for offset := range 3 {
		for encoding, coder := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			all = append(all, spelling{fmt.Sprint(encoding, " at ", offset), inBase64(coder, value, offset)})
		}
	}
	for i := range all {
		all[i].name = prefix + all[i].name
	}
	return all
}

// inBase64 is what the value looks like inside of a longer text that has that
// many bytes (modulo 3) before it: the characters that hold only its own bits.
func inBase64(coder *base64.Encoding, value string, offset int) string {
	encoded := coder.EncodeToString(append(make([]byte, offset), value...))
	return encoded[(offset*8+5)/6 : (offset+len(value))*8/6]
}

// A search that finds nothing proves nothing unless it can find.
func TestSweepFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	value := newCanary(`+/"<`)
	half := value[len(value)/2:]
	longer := func(before int) []byte { return []byte(strings.Repeat("x", before) + value + "tail") }
	plants := map[string]string{
		"plain": value, "upper case": strings.ToUpper(value), "a half": "..." + half + "...", "the other half": value[:len(value)/2],
		"JSON": mustJSON(t, map[string]string{"a": value}), "quoted": fmt.Sprintf("%q", value), "bytes": fmt.Sprint([]byte(value)),
		"a query": "?a=" + url.QueryEscape(value), "hex": fmt.Sprintf("%X", value), "spaced hex": fmt.Sprintf("% x", value),
	}
	for before := range 6 {
		plants[fmt.Sprint("base64 after ", before)] = base64.StdEncoding.EncodeToString(longer(before))
		plants[fmt.Sprint("base64url after ", before)] = base64.URLEncoding.EncodeToString(longer(before))
	}
	backwards := []byte(value)
	slices.Reverse(backwards)
	plants["reversed"] = string(backwards)
	for name, text := range plants {
		if hits := sweep(map[string]string{"canary": value}, map[string]string{"place": "before " + text + " after"}); len(hits) == 0 {
			t.Errorf("%s is not found: %s in %s", name, value, text)
		}
	}
	clean := map[string]string{"place": newCanary(`+/"<`) + base64.StdEncoding.EncodeToString([]byte(newCanary("")))}
	if hits := sweep(map[string]string{"canary": value}, clean); len(hits) > 0 {
		t.Errorf("found in a text that does not have it: %v", hits)
	}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
