package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/files"
)

// File is one file, and the name that it has in a Problem.
type File struct{ Name, Path string }

// Problem says of one file why it cannot be used.
type Problem struct {
	Name string // of the File
	Why  string // a fixed text or the system's errno
}

// pair is a certificate and its key.
type pair struct{ cert, key File }

// read returns the files as they are.
func read(all ...File) (contents [][]byte, problems []Problem) {
	contents = make([][]byte, len(all))
	for i, file := range all {
		if file.Path == "" {
			continue
		}
		content, err := files.Read(file.Path, maxPEMFile)
		if err != nil {
			problems = append(problems, Problem{file.Name, err.Error()})
		}
		contents[i] = content
	}
	return contents, problems
}

// parse makes a certificate of the two. Why is a fixed text: what crypto/tls
// says could quote the files.
func (p pair) parse(certPEM, keyPEM []byte) (*tls.Certificate, []Problem) {
	certPEM, keyPEM = tidy(certPEM), tidy(keyPEM)
	certificate, err := tls.X509KeyPair(certPEM, keyPEM)
	switch {
	case err != nil && bytes.Contains(keyPEM, []byte("ENCRYPTED")):
		return nil, []Problem{{p.key.Name, "its private key is encrypted"}}
	case err != nil:
		return nil, []Problem{{p.key.Name, "the two files are not a certificate and its key"}}
	}
	return &certificate, nil
}

// untimely says why a certificate is not valid at a moment; empty: it is.
func untimely(leaf *x509.Certificate, now time.Time) string {
	switch {
	case now.After(leaf.NotAfter):
		return "it ended on " + leaf.NotAfter.UTC().Format(time.DateOnly)
	case now.Before(leaf.NotBefore):
		return "it is not valid before " + leaf.NotBefore.UTC().Format(time.DateOnly)
	}
	return ""
}
