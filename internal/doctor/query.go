package doctor

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// What a name server does with a query.
const (
	found     = "found"
	empty     = "no address"
	noName    = "no such name"
	formError = "FORMERR"
	refuses   = "REFUSED"
	fails     = "SERVFAIL"
	unknown   = "NOTIMP"
	garbled   = "garbled"
	unreached = "unreached" // an error of the network, at once
	silent    = "silent"
)

// ask sends one query by UDP. A response that is too long for UDP counts as found:
// the resolver asks again by TCP.
func ask(ctx context.Context, patience time.Duration, address, host string, kind dnsmessage.Type, edns bool) string {
	query, id, err := newQuery(host, kind, edns)
	if err != nil {
		return garbled
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
	if err != nil {
		return unreached
	}
	defer func() { _ = conn.Close() }()
	outcome := silent
	for range 2 {
		if _, err := conn.Write(query); err != nil {
			return unreached
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience / 2))
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil && !isTimeout(err) {
				return unreached // ICMP says that nothing listens there
			}
			if err != nil {
				break
			}
			if said, ours := readResponse(buffer[:n], id, kind); ours {
				return said
			}
			outcome = garbled
		}
		if ctx.Err() != nil {
			break
		}
	}
	return outcome
}

func newQuery(host string, kind dnsmessage.Type, edns bool) (query []byte, id uint16, err error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(host, ".") + ".")
	if err != nil {
		return nil, 0, err
	}
	id = uint16(time.Now().UnixNano() >> 8)
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	err = errors.Join(b.StartQuestions(), b.Question(dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}))
	if edns {
		var header dnsmessage.ResourceHeader
		err = errors.Join(err, b.StartAdditionals(), header.SetEDNS0(ednsBytes, dnsmessage.RCodeSuccess, false), b.OPTResource(header, dnsmessage.OPTResource{}))
	}
	if err != nil {
		return nil, 0, err
	}
	query, err = b.Finish()
	return query, id, err
}

// readResponse says what a response means; ours is false if it is one to another query.
func readResponse(response []byte, id uint16, kind dnsmessage.Type) (outcome string, ours bool) {
	var p dnsmessage.Parser
	header, err := p.Start(response)
	if err != nil || header.ID != id || !header.Response {
		return "", false
	}
	switch header.RCode {
	case dnsmessage.RCodeSuccess:
	case dnsmessage.RCodeNameError:
		return noName, true
	case dnsmessage.RCodeFormatError:
		return formError, true
	case dnsmessage.RCodeRefused:
		return refuses, true
	case dnsmessage.RCodeNotImplemented:
		return unknown, true
	default:
		return fails, true
	}
	if header.Truncated {
		return found, true
	}
	if err := p.SkipAllQuestions(); err != nil {
		return garbled, true
	}
	for {
		answer, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return empty, true
		}
		if err != nil {
			return garbled, true
		}
		if answer.Type == kind {
			return found, true
		}
		if err := p.SkipAnswer(); err != nil {
			return garbled, true
		}
	}
}
