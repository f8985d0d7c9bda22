package main

import (
	"bytes"
	"regexp"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

func TestSecondsInTheLogAreExactToAMillisecond(t *testing.T) {
	var out bytes.Buffer
	s := &sidecar{log: zerolog.New(&out)}
	s.logMint(tokencache.Mint{
		Grant:     tokencache.Grant{Type: tokencache.ClientCredentials},
		ExpiresIn: 1799993975927 * time.Nanosecond, RefreshIn: 1529894272213 * time.Nanosecond, Duration: 6024 * time.Microsecond,
	})
	s.logMint(tokencache.Mint{Err: &tokencache.FetchError{Reason: tokencache.Unavailable}, RetryIn: 207846865 * time.Nanosecond})
	if found := regexp.MustCompile(`\d\.\d{4,}`).Find(out.Bytes()); found != nil {
		t.Errorf("the log has %s:\n%s", found, out.String())
	}
}
