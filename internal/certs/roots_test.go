package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// writtenPEM returns two certificates as one PEM text.
func writtenPEM(t testing.TB) (first, second string) {
	t.Helper()
	directory := t.TempDir()
	one := filepath.Join(directory, "one")
	for _, to := range []*string{&first, &second} {
		writePair(t, one, one+".key")
		content, err := os.ReadFile(one)
		wiretest.Must(t, err)
		*to = string(content)
	}
	return first, second
}

func TestWhatEditorsDoToACertificateFileIsTaken(t *testing.T) {
	first, second := writtenPEM(t)
	indented := "  " + strings.ReplaceAll(strings.TrimSuffix(first, "\n"), "\n", "\n\t ") + "\n"
	for name, text := range map[string]string{
		"plain":               first + second,
		"byte order mark":     "\ufeff" + first + second,
		"a mark before each":  "\ufeff" + first + "\ufeff" + second,
		"joined in one line":  strings.TrimSuffix(first, "\n") + second,
		"joined, and marked":  strings.TrimSuffix(first, "\n") + "\ufeff" + second,
		"Windows line breaks": strings.ReplaceAll(first+second, "\n", "\r\n"),
		"carriage returns":    strings.ReplaceAll(first+second, "\n", "\r"),
		"indented":            indented + second,
		"spaces at the end":   strings.ReplaceAll(first+second, "\n", "  \n"),
		"no last line break":  first + strings.TrimSuffix(second, "\n"),
		"comments between":    "# first\n" + first + "# second\n" + second + "end\n",
	} {
		roots := x509.NewCertPool()
		if err := addCertificates(roots, []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := x509.NewCertPool()
		want.AppendCertsFromPEM([]byte(first + second))
		if !roots.Equal(want) {
			t.Errorf("%s: other certificates than the two", name)
		}
	}
}

func TestReasonIsTheTrueOne(t *testing.T) {
	first, second := writtenPEM(t)
	block, _ := pem.Decode([]byte(first))
	var wide []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + first)) {
		wide = append(wide, byte(unit), byte(unit>>8))
	}
	for name, tc := range map[string]struct{ text, want string }{
		"empty":             {"", "it is empty"},
		"only white space":  {" \n", "it is empty"},
		"text":              {"hello\n", "no certificate is in it"},
		"a key":             {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no certificate is in it, but a PRIVATE KEY"},
		"UTF-16":            {string(wide), "it is UTF-16 text, want UTF-8"},
		"DER":               {string(block.Bytes), "it is DER, want PEM"},
		`lines end in "\n"`: {strings.ReplaceAll(first, "\n", `\n`), `its lines end in the two characters \n, want real line breaks`},
		"cut off":           {first + second[:len(second)/2], "certificate 2 in it is broken or cut off"},
		"cut in the base64": {first + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 2 in it is broken or cut off"},
		"openssl -trustout": {strings.ReplaceAll(first, " CERTIFICATE", " TRUSTED CERTIFICATE"), "no certificate is in it, but a TRUSTED CERTIFICATE"},
		"bytes in the type": {"-----BEGIN \x1b[31m-----\nAAAA\n-----END \x1b[31m-----\n", "no certificate is in it"},
		"a long name": {"-----BEGIN " + strings.Repeat("A", 60) + "-----\nAAAA\n-----END " + strings.Repeat("A", 60) + "-----\n",
			"no certificate is in it"},
	} {
		err := addCertificates(x509.NewCertPool(), []byte(tc.text))
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestEncryptedKeyIsNamedAsSuch(t *testing.T) {
	directory := t.TempDir()
	cert, key := filepath.Join(directory, "cert"), filepath.Join(directory, "key")
	writePair(t, cert, key)
	writeFile(t, key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	_, problems := OpenClient(File{"cert", cert}, File{"key", key})
	if len(problems) != 1 || problems[0] != (Problem{"key", "its private key is encrypted"}) {
		t.Errorf("problems = %v", problems)
	}
}

func TestPairWithAByteOrderMarkIsTaken(t *testing.T) {
	directory := t.TempDir()
	cert, key := filepath.Join(directory, "cert"), filepath.Join(directory, "key")
	writePair(t, cert, key)
	for _, path := range []string{cert, key} {
		content, err := os.ReadFile(path)
		wiretest.Must(t, err)
		writeFile(t, path, "\ufeff"+string(content))
	}
	if _, problems := OpenClient(File{"cert", cert}, File{"key", key}); problems != nil {
		t.Errorf("problems = %v", problems)
	}
}

func FuzzTidyPEMLosesNoCertificate(f *testing.F) {
	first, second := writtenPEM(f)
	for _, seed := range []string{first, first + second, "\ufeff" + first, "-----BEGIN", "----------BEGIN A-----\n", " - \r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before, after := blocks(text), blocks(tidy(text))
		for _, one := range before {
			found := false
			for _, other := range after {
				found = found || bytes.Equal(one, other)
			}
			if !found {
				t.Errorf("a block of %q is lost", text)
			}
		}
	})
}

func blocks(text []byte) (all [][]byte) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return all
		}
		all, text = append(all, block.Bytes), rest
	}
}
