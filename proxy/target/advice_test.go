package target

import (
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/target/targettest"
)

func TestAdviceNamesTheByteAndTheRemedy(t *testing.T) {
	for _, row := range []struct {
		target string
		wants  []string
	}{
		{"/v1/payables?counterpart_name=M\u00fcller", []string{"Byte 0xC3 at offset 31", "percent-encode", "%C3"}},
		{"/v1/M\u00fcller", []string{"Byte 0xC3 at offset 5", "the query or the body"}},
		{"/v1/payables/M%C3%BCller", []string{"The escape %C3 at offset 14", "beyond ASCII", "the query or the body"}},
		{"/v1/payables/a%c3%bc", []string{"The escape %C3 at offset 14"}},
		{"/v1/payables/a b", []string{"Byte 0x20 at offset 14", "%20"}},
		{"/v1/payables?a=\x00", []string{"Byte 0x00 at offset 15"}},
		{"/v1/payables#top", []string{"Byte 0x23 at offset 12", "fragment"}},
		{"/v1/payables?x=#top", []string{"Byte 0x23", "%23"}},
		{"/v1//payables", []string{"Two slashes in a row at offset 3"}},
		{"//v1/payables", []string{"Two slashes in a row at offset 0"}},
		{"/v1/../payables", []string{"dot segment", "offset 4"}},
		{"/v1/%2e%2E/payables", []string{"dot segment"}},
		{`/v1\payables`, []string{"Byte 0x5C", "offset 3"}},
		{"/v1/payables;a=b", []string{"Byte 0x3B", "offset 12"}},
		{"/v1/a%2Fb", []string{"The escape %2F at offset 5", "'/'"}},
		{"/v1/a%252Fb", []string{"once, not twice"}},
		{"/v1/a%20b%2fc", []string{"The escape %2F at offset 9"}},
		{"/v1/a%", []string{"two hexadecimal digits"}},
		{"/v1/a%4", []string{"two hexadecimal digits"}},
		{"/v1/a%zz", []string{"two hexadecimal digits"}},
		{"/v1/a%0d", []string{"control byte"}},
		{"http://localhost:8080/v1/payables", []string{"not an HTTP proxy"}},
		{"*", []string{"begins with a slash"}},
	} {
		got := Advice(row.target)
		for _, want := range row.wants {
			if !strings.Contains(got, want) {
				t.Errorf("Advice(%q) = %q, want %q in it", row.target, got, want)
			}
		}
		if strings.Contains(got, "expired") {
			t.Errorf("Advice(%q) = %q", row.target, got)
		}
	}
}

// There is advice exactly for what is refused.
func FuzzAdvice(f *testing.F) {
	for _, path := range append(targettest.AuthTargets(), targettest.LegitimatePaths()...) {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, target string) {
		path, _, _ := strings.Cut(target, "?")
		refused := !OriginForm(target) || !SafePath(path)
		if got := Advice(target); (got != "") != refused {
			t.Errorf("Advice(%q) = %q, refused: %v", target, got, refused)
		}
	})
}
