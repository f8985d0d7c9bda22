package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// corpus returns the files of testdata/identities/kind by name.
func corpus(t testing.TB, kind string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/identities/" + kind + "/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	if kind == "good" {
		paths = append(paths, "../deploy/identities.example.yaml")
	}
	files := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		wiretest.Must(t, err)
		files[path] = string(text)
	}
	return files
}

var wanted = regexp.MustCompile(`# want: (.*)$`)

// A bad file says in the line of each mistake what is wanted there, and no
// other mistake may be found.
func TestMistakesOfIdentitiesFileComeAllAtOnceWithTheirLines(t *testing.T) {
	n := 0
	for path, text := range corpus(t, "bad") {
		_, err := load(t, map[string]string{"MONITE_IDENTITIES_FILE": path})
		got := map[int]string{}
		if loadErr, ok := err.(*Error); ok {
			for _, m := range loadErr.Mistakes {
				if m.Variable != "MONITE_IDENTITIES_FILE" || got[m.Line] != "" {
					t.Errorf("%s: unexpected mistake %s", path, m)
				}
				got[m.Line] = m.Accepts
			}
		}
		for i, line := range strings.Split(text, "\n") {
			want := wanted.FindStringSubmatch(line)
			if want == nil {
				continue
			}
			n++
			if !strings.Contains(got[i+1], want[1]) {
				t.Errorf("%s line %d: mistake %q, want %q", path, i+1, got[i+1], want[1])
			}
			delete(got, i+1)
		}
		for line, accepts := range got {
			t.Errorf("%s line %d: unexpected mistake: want %s", path, line, accepts)
		}
	}
	t.Logf("%d mistakes", n)
}

func TestGoodIdentitiesFilesAreLoaded(t *testing.T) {
	for path := range corpus(t, "good") {
		cfg, err := load(t, map[string]string{"MONITE_IDENTITIES_FILE": path})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		again, err := cfg.ReadIdentities()
		if err != nil || !again.Same(cfg.Identities) {
			t.Errorf("%s: read again: %v", path, err)
		}
	}
}

func TestIdentityHasWhatTheFileSays(t *testing.T) {
	cfg := mustLoad(t, map[string]string{"MONITE_IDENTITIES_FILE": "testdata/identities/good/example-of-the-contract.yaml"})
	i := cfg.Identities.All[0]
	if i.Name != "billing" || i.GrantType != "entity_user" || i.EntityUserID != "aaaaaaaa-0000-4000-8000-000000000001" ||
		i.EntityID != "11111111-0000-4000-8000-000000000001" || i.APIVersion != "2024-05-25" || i.PathPrefix != "/as/billing" ||
		i.Listen != (Listen{Network: "unix", Address: "/run/billing.sock"}) || i.SocketMode != 0o660 || i.ByName || i.ReadOnly || !i.AuditOnly ||
		i.Rules == nil || len(i.Allow) != 3 || len(i.Deny) != 2 {
		t.Errorf("billing = %+v", i)
	}
	if got := cfg.Pairs(cfg.Identities); len(got) != 1 || got[i.EntityUserID] != i.EntityID {
		t.Errorf("Pairs = %v", got)
	}

	cfg = mustLoad(t, map[string]string{"MONITE_IDENTITIES_FILE": "testdata/identities/good/two-and-more.yaml"})
	partner, anyEntity, shop, warehouse := cfg.Identities.All[0], cfg.Identities.All[1], cfg.Identities.All[2], cfg.Identities.All[3]
	if !partner.ByName || partner.SocketMode != 0o600 || partner.Rules != nil || partner.EntityID != "" || partner.AllowedEntityIDs.Any() {
		t.Errorf("partner = %+v", partner)
	}
	if !anyEntity.AllowedEntityIDs.Any() || anyEntity.EntityID != "" || len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "line 6") {
		t.Errorf("any = %+v, warnings %q", anyEntity, cfg.Warnings)
	}
	if shop.EntityID != "" || !shop.AllowedEntityIDs.Contains("aaaaaaaa-0000-4000-8000-00000000000f") || !shop.ReadOnly ||
		shop.APIVersion != "2023-09-01" {
		t.Errorf("shop = %+v", shop)
	}
	// A list of one leaves no choice.
	if warehouse.EntityID != "11111111-0000-4000-8000-000000000001" || !warehouse.fixed() || warehouse.Listen.Address != "127.0.0.1:8092" {
		t.Errorf("warehouse = %+v", warehouse)
	}
}

func TestDefaultUserIsPairedWithTheDefaultEntityUnlessOthersAreAllowed(t *testing.T) {
	for _, tc := range []struct {
		pairs map[string]string
		want  int
	}{
		{map[string]string{"MONITE_ENTITY_USER_ID": idA, "MONITE_ENTITY_ID": idB}, 1},
		{map[string]string{"MONITE_ENTITY_USER_ID": idA, "MONITE_ENTITY_ID": idB, "MONITE_ALLOWED_ENTITY_IDS": idB}, 1},
		{map[string]string{"MONITE_ENTITY_USER_ID": idA, "MONITE_ENTITY_ID": idB, "MONITE_ALLOWED_ENTITY_IDS": idC}, 0},
		{map[string]string{"MONITE_ENTITY_USER_ID": idA, "MONITE_ENTITY_ID": idB, "MONITE_ALLOWED_ENTITY_IDS": "*"}, 0},
		{map[string]string{"MONITE_ENTITY_USER_ID": idA}, 0},
		{map[string]string{"MONITE_ENTITY_ID": idB}, 0},
	} {
		cfg := mustLoad(t, tc.pairs)
		if got := cfg.Pairs(nil); len(got) != tc.want || tc.want == 1 && got[idA] != idB {
			t.Errorf("%v: Pairs = %v, want %d", tc.pairs, got, tc.want)
		}
	}
}

// The file must not pair the default user with another entity than the
// environment does.
func TestFileAndEnvironmentAgreeOnPairs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identities.yaml")
	text := "identities:\n  - name: a\n    grant_type: entity_user\n    entity_user_id: " + idA + "\n    entity_id: " + idC + "\n"
	wiretest.Must(t, os.WriteFile(path, []byte(text), 0o600))
	_, err := load(t, map[string]string{"MONITE_IDENTITIES_FILE": path, "MONITE_ENTITY_USER_ID": idA, "MONITE_ENTITY_ID": idB})
	if got := lines(err); len(got) != 1 || !strings.HasPrefix(got[0], "MONITE_IDENTITIES_FILE line 4: want the entity that MONITE_ENTITY_ID pairs") {
		t.Errorf("mistakes %q", got)
	}
}

// Those of the file come with those of the variables.
func TestIdentitiesFileIsJudgedTogetherWithTheEnvironment(t *testing.T) {
	_, err := load(t, map[string]string{"MONITE_IDENTITIES_FILE": "testdata/identities/bad/flag-yes.yaml", "MONITE_READ_ONLY": "x",
		"MONITE_ENTITY_ID": "y"})
	if got := lines(err); len(got) != 3 {
		t.Errorf("mistakes %q, want three", got)
	}
}

func TestIdentitiesFileThatCannotBeRead(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large")
	wiretest.Must(t, os.WriteFile(large, make([]byte, maxIdentitiesFile+1), 0o600))
	for path, want := range map[string]string{"/none/at/all": "(no such file or directory)", t.TempDir(): "(it is a directory)",
		large: "(it is larger than 1 MiB)"} {
		_, err := load(t, map[string]string{"MONITE_IDENTITIES_FILE": path})
		if got := lines(err); len(got) != 1 || got[0] != "MONITE_IDENTITIES_FILE: want the path of a YAML file with named identities "+want {
			t.Errorf("%s: mistakes %q, want %q", path, got, want)
		}
	}
}

// What somebody pasted into the wrong place stays out of the error.
func TestMistakesOfIdentitiesFileHoldNoValue(t *testing.T) {
	const canary = "canary-5f3a"
	path := filepath.Join(t.TempDir(), "identities.yaml")
	for _, text := range []string{
		canary, "identities: " + canary, "identities:\n  - " + canary, canary + ": x", "identities:\n  - " + canary + ": x\n",
		"identities: [" + canary, "\t" + canary, "identities: !" + canary + " x", "identities: *" + canary,
		"? " + canary + "\n: &" + canary + " x\n" + canary + ": y",
		"identities:\n  - name: " + canary + "_\n    grant_type: " + canary + "\n    entity_id: " + canary + "\n    entity_user_id: " + canary +
			"\n    allowed_entity_ids: [" + canary + "]\n    api_version: " + canary + "\n    path_prefix: " + canary +
			"\n    listen_addr: " + canary + "\n    socket_mode: " + canary + "\n    by_name: " + canary + "\n    allow: [" + canary + ", GET " +
			canary + "]\n    " + canary + ": " + canary + "\n",
	} {
		wiretest.Must(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := load(t, map[string]string{"MONITE_IDENTITIES_FILE": path})
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzIdentitiesFile(f *testing.F) {
	for _, kind := range []string{"good", "bad"} {
		for _, text := range corpus(f, kind) {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		var wrong mistakes
		read := parseIdentities([]byte(text), &Config{}, &wrong)
		if len(wrong.found) > 0 {
			return
		}
		for _, i := range read.All {
			if !identityName().MatchString(i.Name) || i.PathPrefix != "" && i.PathPrefix[0] != '/' ||
				(i.GrantType == "entity_user") != (i.EntityUserID != "") {
				t.Errorf("%q is accepted as %+v", text, i)
			}
		}
	})
}
