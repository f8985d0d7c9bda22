package secret_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// Whatever is in a secret file: one trailing line break goes, and what is left
// is the secret or a mistake that does not show it. A bad file keeps the value.
func FuzzSecretFile(f *testing.F) {
	for _, tc := range valueTests {
		for _, end := range []string{"", "\n", "\r\n", "\n\n", "\r", " \n"} {
			f.Add([]byte(tc.text + end))
		}
	}
	path := filepath.Join(f.TempDir(), "secret")
	const first = "first-value"
	f.Fuzz(func(t *testing.T, content []byte) {
		write := func(content []byte) {
			wiretest.Must(t, os.WriteFile(path, content, 0o600))
		}
		write([]byte(first))
		file, err := secret.OpenFile(path)
		wiretest.Must(t, err)
		write(content)
		text := string(content)
		if cut, found := strings.CutSuffix(text, "\r\n"); found {
			text = cut
		} else {
			text = strings.TrimSuffix(text, "\n")
		}
		want := secret.Check(secret.New(text))
		changed, err := file.Reload()
		opened, openErr := secret.OpenFile(path)
		if (err == nil) != (want == nil) || (openErr == nil) != (want == nil) {
			t.Fatalf("%q: Reload() = %v, OpenFile() = %v, want %v", content, err, openErr, want)
		}
		if err != nil {
			if !file.Current().Equal(secret.New(first)) || changed {
				t.Errorf("%q: a bad file changed the value", content)
			}
			if len(text) > 12 && strings.Contains(err.Error(), text) {
				t.Errorf("%q: %v shows the content", content, err)
			}
			return
		}
		if !file.Current().Equal(secret.New(text)) || !opened.Current().Equal(secret.New(text)) || changed != (text != first) {
			t.Errorf("%q: the value is another one, changed %v", content, changed)
		}
	})
}
