package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

func noSidecar(at string, err error) finding {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return finding{Result: note, What: "no sidecar runs on " + at + " as seen from here", Next: "if it should: start it, and look at its log"}
	case errors.Is(err, syscall.EACCES):
		return finding{Result: problem, What: "this user may not open " + at, Why: "the socket belongs to another user; it is of mode 0600", Next: "run app and sidecar as the same user"}
	case isTimeout(err):
		return finding{Result: problem, What: at + " takes the connection, but does not respond within " + stepTimeout.Round(time.Second).String(),
			Why: "the sidecar is stopped or overloaded, or another program listens there", Next: "look at the sidecar's log"}
	}
	return finding{Result: problem, What: "what listens on " + at + " does not speak HTTP/1.1", Why: "another program has the port", Next: "stop that program, or choose another MONITE_LISTEN_ADDR"}
}

// asksForCertificate recognises the alert certificate_required of TLS 1.3, and
// bad_certificate of TLS 1.2 (RFC 8446 section 6.2). crypto/tls tells of a received
// alert in words only.
func asksForCertificate(err error) bool {
	told, ok := errors.AsType[*net.OpError](err)
	return ok && told.Op == "remote error" && strings.Contains(told.Err.Error(), "certificate")
}

// certificateTrouble explains why the listener's own certificate was not accepted.
func certificateTrouble(err error) finding {
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Reason == x509.Expired {
		return finding{Result: problem, What: "the certificate of the data listener is not valid now",
			Why: fmt.Sprintf("it is valid from %s to %s", bad.Cert.NotBefore.Format(time.DateOnly), bad.Cert.NotAfter.Format(time.DateOnly)), Next: "renew MONITE_TLS_CERT_FILE; it is read again at once"}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return finding{Result: problem, What: "the running sidecar shows another certificate than that of MONITE_TLS_CERT_FILE",
			Why: "it was started with other files than this command, or another program has the port", Next: "start it again with the same environment"}
	}
	return finding{}
}
