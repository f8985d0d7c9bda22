package trace

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// firstPause is that before the second try; it doubles, give or take a half.
	firstPause = 500 * time.Millisecond
	maxAnswer  = 64 << 10
)

// upload sends spans to the collector (OTLP/HTTP, binary). It implements
// otlptrace.Client.
type upload struct {
	config   Config
	client   *http.Client
	rejected atomic.Int64
}

func newUpload(c Config) *upload {
	transport := &http.Transport{
		Proxy:           c.Proxy, // nil: not even HTTPS_PROXY
		TLSClientConfig: &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12},
		MaxIdleConns:    1, IdleConnTimeout: 30 * time.Second,
		MaxResponseHeaderBytes: maxAnswer, DisableCompression: true,
	}
	return &upload{config: c, client: &http.Client{
		Transport: transport,
		// The fields are for the collector alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (u *upload) Start(context.Context) error { return nil }

func (u *upload) Stop(context.Context) error { return nil }

// UploadTraces tries until it is done, or not worth it, or out of time.
func (u *upload) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// The same bytes as an ExportTraceServiceRequest, whose package links gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	for pause := firstPause; ; pause *= 2 {
		err := u.post(ctx, body)
		failure, again := errors.AsType[*temporary](err)
		if !again {
			return err
		}
		wait := max(failure.after, pause/2+rand.N(pause))
		if until, ok := ctx.Deadline(); ok && time.Until(until) < wait {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// temporary is a failure that may be none the next time.
type temporary struct {
	error
	after time.Duration // 0: the collector did not say
}

func (t *temporary) Unwrap() error { return t.error }

func (u *upload) post(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.config.Endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	for _, field := range u.config.Headers {
		request.Header.Set(field.Name, field.Value.Reveal())
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	request.Header.Set("User-Agent", "monite-proxy/"+u.config.Version)
	response, err := u.client.Do(request)
	if err != nil {
		return &temporary{error: fixedText(err)}
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch status := response.StatusCode; {
	case status/100 == 2 && err == nil:
		u.rejected.Add(rejectedSpans(text))
		return nil
	case status/100 == 2: // it may have taken them; twice would be worse than not at all
		return errors.New("the collector's response was cut off")
	case status == http.StatusTooManyRequests || status == http.StatusBadGateway ||
		status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return &temporary{fmt.Errorf("the collector responded with status %d", status), time.Duration(min(max(seconds, 0), 3600)) * time.Second}
	default:
		return fmt.Errorf("the collector responded with status %d", status)
	}
}

// fixedText says what became of a try. net/http's own errors quote the URL, the
// fields and what the peer sent, and so the collector's key or the password of a
// forward proxy. The text of an errno is the system's.
func fixedText(err error) error {
	errno, isErrno := errors.AsType[syscall.Errno](err)
	op, isOp := errors.AsType[*net.OpError](err)
	lookup, isLookup := errors.AsType[*net.DNSError](err)
	timeout, isTimeout := errors.AsType[net.Error](err)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case isLookup && lookup.IsNotFound:
		return errors.New("the name of the collector is not known")
	case isLookup:
		return errors.New("the name of the collector cannot be looked up")
	case isCertificate, isUnknown:
		return errors.New("the certificate of the collector is not trusted")
	case isRecord:
		return errors.New("the collector does not speak TLS")
	case isTimeout && timeout.Timeout():
		return fmt.Errorf("no response from the collector in time: %w", context.DeadlineExceeded)
	case isOp && op.Op == "proxyconnect":
		return errors.New("no connection to the forward proxy")
	case isErrno && isOp && op.Op == "dial":
		return fmt.Errorf("no connection to the collector: %w", errno)
	case isErrno:
		return fmt.Errorf("the connection to the collector broke: %w", errno)
	}
	return errors.New("the collector's address is not an HTTP server, or a forward proxy refuses")
}

// rejectedSpans reads ExportTraceServiceResponse.partial_success.rejected_spans,
// both of them field 1.
func rejectedSpans(answer []byte) int64 {
	partial := field1(answer, protowire.BytesType)
	if partial == nil {
		return 0
	}
	inner, n := protowire.ConsumeBytes(partial)
	if n < 0 {
		return 0
	}
	count, n := protowire.ConsumeVarint(field1(inner, protowire.VarintType))
	if n < 0 {
		return 0
	}
	return max(int64(count), 0)
}

// field1 returns the message from the value of its field 1 on; nil: there is none.
func field1(message []byte, want protowire.Type) []byte {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		if number == 1 && kind == want {
			return message
		}
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return nil
		}
		message = message[n:]
	}
	return nil
}
