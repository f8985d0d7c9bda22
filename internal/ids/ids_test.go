package ids

import (
	"strings"
	"testing"
)

const id = "c3d4e5f6-0000-4000-8000-00000000abcd"

func TestOnlyUUIDsAreParsed(t *testing.T) {
	for text, want := range map[string]string{
		id:                                     id,
		strings.ToUpper(id):                    id,
		"00000000-0000-0000-0000-000000000000": "00000000-0000-0000-0000-000000000000",
		"":                                     "",
		id[:35]:                                "",
		id + "0":                               "",
		"{" + id + "}":                         "",
		" " + id[1:]:                           "",
		strings.Replace(id, "c", "g", 1):       "",
		strings.Replace(id, "-", "0", 1):       "",
		strings.Replace(id, "0", "-", 1):       "",
		strings.Replace(id, "00", "é", 1):      "",
		strings.Replace(id, "0", "\x00", 1):    "",
	} {
		got, ok := Parse(text)
		if got != want || ok != (want != "") {
			t.Errorf("Parse(%q) = %q, %v, want %q", text, got, ok, want)
		}
	}
}

func TestParsingALowerCaseIDAllocatesNothing(t *testing.T) {
	if got := testing.AllocsPerRun(100, func() { _, _ = Parse(id) }); got != 0 {
		t.Errorf("allocations = %v, want 0", got)
	}
}

func TestShortAndHashDoNotTellTheID(t *testing.T) {
	if got := Short(id); got != "c3d4e5f6-..." {
		t.Errorf("Short() = %q", got)
	}
	// Fixed, because the logs of two versions must be comparable.
	if got := Hash("11111111-1111-4111-8111-111111111111"); got != "bd7662a5eeb4" {
		t.Errorf("Hash() = %q", got)
	}
	if Short("") != "" || Hash("") != "" {
		t.Error("no id has a name")
	}
}
