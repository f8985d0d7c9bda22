package strict

import (
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxTarget and maxFieldBytes bound a head, and with it the buffer of a
	// connection; maxFields does not count Host.
	maxTarget     = 16 << 10
	maxFieldBytes = 64 << 10
	maxFields     = 128
	// usualFields is the number of fields that few heads exceed.
	usualFields = 12
	// maxAround is the room for the rest of the request line.
	maxAround = 64
)

// scan finds the end of a head, over as many reads as it takes.
type scan struct {
	at    int // up to here there is no end
	line  int // where the current line begins
	lines int // whole ones
	first int // where the fields begin
	// judged says that the request line of a head that comes in pieces has been
	// checked.
	judged bool
}

// next looks at the head so far. It returns the length of the head when that is
// complete, or what is wrong with it as soon as that is certain: an app that ends its
// lines otherwise would wait for a response, and we for CR LF.
func (s *scan) next(buf []byte) (length int, why Violation) {
	if s.at == 0 && byteKind[buf[0]]&tokenByte == 0 {
		return 0, RequestLine // TLS, for one
	}
	for {
		i := bytes.IndexByte(buf[s.at:], '\n')
		if i < 0 {
			s.at = len(buf)
			return 0, s.soFar(buf)
		}
		end := s.at + i
		if end == 0 || buf[end-1] != '\r' {
			return 0, BareLF
		}
		blank := end-1 == s.line
		s.at, s.line = end+1, end+1
		if why := s.tooLong(end + 1); why != None {
			return 0, why
		}
		if blank {
			return end + 1, None
		}
		if s.lines++; s.lines == 1 {
			s.first = end + 1
		}
	}
}

// soFar judges a head of which the rest is still to come. A client that speaks
// something else, and waits for a response to its first line, is told so.
func (s *scan) soFar(buf []byte) Violation {
	if s.lines > 0 && !s.judged {
		s.judged = true
		var h head
		if why := h.requestLine(string(buf[:s.first-len("\r\n")])); why != None {
			return why
		}
	}
	return s.tooLong(len(buf))
}

func (s *scan) tooLong(length int) Violation {
	switch {
	case s.lines == 0 && length > maxTarget+maxAround:
		return TargetTooLong
	case s.lines > 0 && length-s.first > maxFieldBytes, s.lines > 1+maxFields+1:
		return HeadTooLarge
	}
	return None
}

// head is the content of a head.
type head struct {
	fields               http.Header // without those that net/http takes out too
	method, target, host string
	minor                int   // of HTTP/1
	length               int64 // of the body; -1: chunked
	close                bool  // the app says that no other request follows
	last                 bool  // no other request is read: the app says close, or a loose reader of the field would take it so
	expect               bool  // the app waits for 100 Continue
	local                bool  // the app came by a unix socket
	url                  url.URL
	room                 [usualFields]string // for the values of a usual head
}

// parse reads a complete head of lines that end in CR LF, the last one empty.
// The method is set also if something after it is wrong.
func (h *head) parse(text string, lines int) Violation {
	line, rest := nextLine(text)
	// A caller that keeps one string of a large head would keep all of it.
	apart := len(text) > smallBuffer
	if apart {
		line = strings.Clone(line)
	}
	if why := h.requestLine(line); why != None {
		return why
	}
	if lines-1 > maxFields+1 {
		return HeadTooLarge
	}
	fields := h.fields // of an earlier head, and empty
	if fields == nil {
		fields = make(http.Header, lines)
	}
	h.fields = fields
	values := h.room[:0]
	if lines > len(h.room) {
		values = make([]string, 0, lines)
	}
	for {
		line, rest = nextLine(rest)
		if line == "" {
			break
		}
		name, value, why := fieldOf(line)
		if why != None {
			return why
		}
		if apart {
			name, value = strings.Clone(name), strings.Clone(value)
		}
		if earlier, ok := fields[name]; ok {
			fields[name] = append(earlier, value)
			continue
		}
		values = append(values, value)
		// No room behind it: a second value must not run into the next field's.
		fields[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if _, hasHost := fields["Host"]; lines-1 > maxFields && !hasHost {
		return HeadTooLarge
	}
	if why := h.readHost(fields); why != None {
		return why
	}
	if why := h.readFraming(fields); why != None {
		return why
	}
	return h.readConnection(fields)
}

// nextLine cuts at LF, because the scan has seen a CR before each.
func nextLine(text string) (line, rest string) {
	end := strings.IndexByte(text, '\n')
	return text[:end-1], text[end+1:]
}

func (h *head) requestLine(line string) Violation {
	if line == "PRI * HTTP/2.0" {
		h.method = "PRI"
		return Preface
	}
	method, rest, _ := strings.Cut(line, " ")
	target, version, found := strings.Cut(rest, " ")
	if !found || !isToken(method) || target == "" {
		return RequestLine
	}
	switch version {
	case "HTTP/1.1":
		h.minor = 1
	case "HTTP/1.0":
		h.minor = 0
	default:
		if len(version) == len("HTTP/1.1") && version[:5] == "HTTP/" && version[6] == '.' && isDigit(version[5]) && isDigit(version[7]) {
			return Version
		}
		return RequestLine
	}
	h.method, h.target = method, target
	switch {
	case len(target) > maxTarget:
		return TargetTooLong
	case !h.readTarget():
		return Target
	}
	return None
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// readTarget wants the origin-form (section 3.2.1) in visible ASCII, without
// the fragment that no request has.
func (h *head) readTarget() bool {
	if h.target[0] != '/' {
		return false
	}
	for i := range len(h.target) {
		if c := h.target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	path, query, hasQuery := strings.Cut(h.target, "?")
	if only(path, plainByte) {
		h.url = url.URL{Path: path, RawQuery: query, ForceQuery: hasQuery && query == ""}
		return true
	}
	parsed, err := url.ParseRequestURI(h.target)
	if err != nil {
		return false
	}
	h.url = *parsed
	return true
}

func (h *head) readHost(fields http.Header) Violation {
	hosts := fields["Host"]
	switch {
	case len(hosts) > 1:
		return HostRepeated
	case len(hosts) == 1 && !h.local && !httpguts.ValidHostHeader(hosts[0]): // some clients send a socket's path
		return HostMalformed
	case len(hosts) == 1:
		h.host = hosts[0]
		delete(fields, "Host") // as net/http does
	case h.minor > 0:
		return HostMissing
	}
	return None
}

// readFraming decides where the body ends, if there is only one way to.
func (h *head) readFraming(fields http.Header) Violation {
	lengths, codings := fields["Content-Length"], fields["Transfer-Encoding"]
	switch {
	case len(lengths) > 0 && len(codings) > 0:
		return LengthAndCoding
	case len(lengths) > 1:
		return LengthRepeated
	case len(lengths) == 1:
		var ok bool
		if h.length, ok = parseLength(lengths[0]); !ok {
			return LengthMalformed
		}
	case len(codings) > 0 && h.minor == 0:
		return CodingTooOld
	case len(codings) > 1, len(codings) == 1 && !strings.EqualFold(codings[0], "chunked"):
		return Coding
	case len(codings) == 1:
		h.length = -1
		delete(fields, "Transfer-Encoding") // as net/http does
		return readTrailer(fields)
	}
	return None
}

// parseLength accepts digits only, no list and no sign.
func parseLength(text string) (int64, bool) {
	length, err := strconv.ParseUint(text, 10, 63)
	return int64(length), err == nil && len(text) <= 19
}

func readTrailer(fields http.Header) Violation {
	for _, value := range fields["Trailer"] {
		for name := range strings.SplitSeq(value, ",") {
			switch canonical(trimBlanks(name)) {
			case "Transfer-Encoding", "Content-Length", "Trailer":
				return Trailer
			}
		}
	}
	delete(fields, "Trailer")
	return None
}

func (h *head) readConnection(fields http.Header) Violation {
	options := fields["Connection"]
	h.close = hasToken(options, "close") || h.minor == 0 && !hasToken(options, "keep-alive")
	// net/http takes "x close" for close, and in HTTP/1.0 looks at the first field
	// only. What the next bytes are must not depend on that.
	h.last = h.close || !areTokens(options) || h.minor == 0 && len(options) > 1
	switch expected := fields["Expect"]; {
	case len(expected) == 0:
	case len(expected) > 1 || !strings.EqualFold(expected[0], "100-continue"):
		return Expectation
	default:
		h.expect = h.minor > 0 && h.length != 0
	}
	return None
}
