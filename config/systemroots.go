package config

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// Where crypto/x509 looks for roots on Linux, unless the environment says where:
// in the first of several bundles, and in all of the directories.
const systemBundle = "/etc/ssl/certs/ca-certificates.crt"

var systemDirectories = []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}

// SystemRoots returns a copy of the system's roots, which are read once.
//
// They are those of x509.SystemCertPool. It parses all that is in the
// directories, and there the bundle lies once more, and mostly its certificates
// for a third time: more than half of the time that a start takes, and garbage
// of several MiB.
func SystemRoots() (*x509.CertPool, error) {
	roots, err := systemRoots()
	if err != nil {
		return nil, err
	}
	return roots.Clone(), nil
}

var systemRoots = sync.OnceValues(func() (*x509.CertPool, error) {
	if runtime.GOOS == "linux" && os.Getenv("SSL_CERT_FILE") == "" && os.Getenv("SSL_CERT_DIR") == "" {
		if roots := readRoots(systemBundle, systemDirectories); roots != nil {
			return roots, nil
		}
	}
	return x509.SystemCertPool()
})

// readRoots parses the bundle, and of the directories the files that have what
// it has not. Nil: the bundle cannot be read.
func readRoots(bundle string, directories []string) *x509.CertPool {
	text, err := os.ReadFile(bundle)
	if err != nil {
		return nil
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	held := map[[sha256.Size]byte]bool{} // the text of each certificate
	for rest := text; ; {
		block, next := pem.Decode(rest)
		if block == nil {
			break
		}
		held[sha256.Sum256(bytes.TrimSpace(rest[:len(rest)-len(next)]))] = true
		rest = next
	}
	var more bytes.Buffer // one for all: there may be hundreds
	for _, directory := range directories {
		entries, _ := os.ReadDir(directory) // some have it, some do not
		for _, entry := range entries {
			path := filepath.Join(directory, entry.Name())
			if path == bundle || leadsToNeighbour(path, entry) || readTo(&more, path) != nil {
				continue
			}
			if !bytes.Equal(more.Bytes(), text) && !held[sha256.Sum256(bytes.TrimSpace(more.Bytes()))] {
				roots.AppendCertsFromPEM(more.Bytes())
			}
		}
	}
	return roots
}

func readTo(buffer *bytes.Buffer, path string) error {
	buffer.Reset()
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, err = buffer.ReadFrom(file)
	return err
}

// leadsToNeighbour: the links that are named by a hash.
func leadsToNeighbour(path string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return false
	}
	target, err := os.Readlink(path)
	return err == nil && !strings.Contains(target, "/")
}
