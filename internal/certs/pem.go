package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

var byteOrderMark = []byte("\ufeff")

// tidy takes back what editors, shells and templates do to a PEM file and
// encoding/pem does not read: byte order marks, carriage returns, indentation, and
// two blocks that were joined without a line break.
func tidy(text []byte) []byte {
	text = bytes.ReplaceAll(text, byteOrderMark, nil)
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte("----------BEGIN "), []byte("-----\n-----BEGIN "))
	lines := bytes.Split(text, []byte("\n"))
	for i := range lines {
		lines[i] = bytes.Trim(lines[i], " \t")
	}
	return bytes.Join(lines, []byte("\n"))
}

// addCertificates is stricter than AppendCertsFromPEM, which skips what it
// cannot read: a bundle that was cut off must not pass for a whole one.
func addCertificates(roots *x509.CertPool, content []byte) error {
	count, other := 0, ""
	rest := tidy(content)
	for {
		block, next := pem.Decode(rest)
		if block == nil {
			break
		}
		// Decode skips what it cannot read.
		if bytes.Count(rest[:len(rest)-len(next)], []byte("-----BEGIN ")) > 1 {
			return broken(count)
		}
		rest = next
		if block.Type != "CERTIFICATE" {
			other = block.Type
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return broken(count)
		}
		roots.AddCert(certificate)
		count++
	}
	switch {
	case bytes.Contains(rest, []byte("-----BEGIN ")) && !bytes.Contains(rest, []byte(`-----\n`)):
		return broken(count)
	case count == 0:
		return whyNone(content, other)
	}
	return nil
}

func broken(before int) error {
	return fmt.Errorf("certificate %d in it is broken or cut off", before+1)
}

// whyNone says why no certificate is in the file; other is the type of a block.
func whyNone(content []byte, other string) error {
	_, notDER := x509.ParseCertificates(content)
	switch {
	case len(bytes.TrimSpace(content)) == 0:
		return errors.New("it is empty")
	case bytes.HasPrefix(content, []byte("\xff\xfe")), bytes.HasPrefix(content, []byte("\xfe\xff")):
		return errors.New("it is UTF-16 text, want UTF-8")
	case notDER == nil:
		return errors.New("it is DER, want PEM")
	case bytes.Contains(content, []byte(`-----\n`)):
		return errors.New(`its lines end in the two characters \n, want real line breaks`)
	case other != "" && len(other) <= 40 && strings.Trim(other, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ") == "":
		return errors.New("no certificate is in it, but a " + other)
	}
	return errors.New("no certificate is in it")
}
