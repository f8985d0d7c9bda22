package admin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Explain says in one sentence why the token endpoint gave no token, and what to
// look at. The chain of errors below it is for the log.
func Explain(failure *tokencache.FetchError, grant tokencache.GrantType) string {
	switch {
	case failure.Reason == tokencache.Rejected && grant == tokencache.EntityUser:
		return fmt.Sprintf("the token endpoint refused a token for the entity user (status %d): check the entity user, MONITE_CLIENT_ID, MONITE_CLIENT_SECRET and MONITE_ENVIRONMENT", failure.Status)
	case failure.Reason == tokencache.Rejected:
		return fmt.Sprintf("the token endpoint refused the client id and secret (status %d): check MONITE_CLIENT_ID, MONITE_CLIENT_SECRET and MONITE_ENVIRONMENT", failure.Status)
	case failure.Reason == tokencache.Throttled:
		return "the token endpoint responds with 429: too many requests of this client id"
	case failure.Reason == tokencache.Malformed:
		return "the response of the token endpoint is not a token: check MONITE_API_URL"
	case failure.Status >= 500:
		return fmt.Sprintf("Monite itself is in trouble: the token endpoint responds with status %d", failure.Status)
	case failure.Status != 0:
		return fmt.Sprintf("the token endpoint responds with status %d: check MONITE_API_URL", failure.Status)
	}
	return "no response from the token endpoint: " + explainNetwork(failure)
}

func explainNetwork(failure *tokencache.FetchError) string {
	if dns, ok := errors.AsType[*net.DNSError](failure.Err); ok {
		switch {
		case dns.IsNotFound:
			return "its name does not exist in DNS; check MONITE_API_URL and the name servers"
		case dns.IsTimeout:
			return "no name server responds; check /etc/resolv.conf and port 53"
		}
		return "its name could not be looked up; 'monite-proxy doctor' asks the name servers one by one"
	}
	if isCertificate(failure.Err) {
		return "its certificate is not accepted; 'monite-proxy doctor' says why"
	}
	switch {
	case errors.Is(failure.Err, syscall.ECONNREFUSED):
		return "the connection is refused; check host and port of MONITE_API_URL"
	case errors.Is(failure.Err, syscall.ENETUNREACH), errors.Is(failure.Err, syscall.EHOSTUNREACH):
		return "there is no route to it; check the network"
	case errors.Is(failure.Err, syscall.EACCES), errors.Is(failure.Err, syscall.EPERM):
		return "this process may not connect to it; see MONITE_CONFINE"
	case failure.Reason == tokencache.TimedOut, errors.Is(failure.Err, context.DeadlineExceeded):
		return "nothing came in time; a firewall may drop the packets, or Monite is slow (MONITE_TOKEN_TIMEOUT)"
	}
	return "the connection broke; the log has the cause"
}

func isCertificate(err error) bool {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok
}
