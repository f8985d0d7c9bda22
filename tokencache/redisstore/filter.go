package redisstore

import (
	"errors"
	"net"
)

// What a reply may be. A line of RESP is as long as it likes, and so is what it
// announces: every client that was tried lets a server end its process with one line
// of 22 bytes, `$9223372036854775807`, and a plain redis:// lets anyone on the way
// write that line.
const (
	maxLine  = 512
	maxBulk  = 16 << 10
	maxItems = 8
	maxDepth = 2
)

var errHostile = errors.New("the reply is not one that this client takes")

// filter is a net.Conn that ends with an error where a reply is too long, too deep or
// not RESP2, before whoever reads from it sees that. It follows only the length
// prefixes: what is in a reply is the client library's work.
type filter struct {
	net.Conn
	mostBulk int // bytes of a bulk string, maxBulk if 0
	replies  int // that were whole, since the connection was made

	line  [maxLine]byte
	n     int   // bytes of line
	skip  int   // bytes of a bulk string that are still to come, its CR LF included
	items []int // elements that are still to come, of each array that is open
	err   error
}

// atRest reports whether so many replies have come, and nothing of another one.
func (f *filter) atRest(replies int) bool {
	return f.err == nil && f.replies == replies && f.n == 0 && f.skip == 0 && len(f.items) == 0
}

func (f *filter) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.Conn.Read(p)
	if !f.follow(p[:n]) {
		f.err = errHostile
		_ = f.Close()
		return 0, f.err
	}
	return n, err
}

// follow reports whether what has come so far is the beginning of replies that are
// taken.
func (f *filter) follow(p []byte) bool {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, len(p))
			f.skip -= n
			p = p[n:]
			if f.skip == 0 {
				f.end()
			}
			continue
		}
		if f.n == len(f.line) {
			return false
		}
		f.line[f.n] = p[0]
		f.n++
		if p[0] == '\n' && !f.endLine() {
			return false
		}
		p = p[1:]
	}
	return true
}

// endLine takes a whole line, and what it announces.
func (f *filter) endLine() bool {
	line := f.line[:f.n]
	f.n = 0
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return false
	}
	body := line[1 : len(line)-2]
	switch line[0] {
	case '+', '-':
		f.end()
		return true
	case ':':
		if len(body) > 0 && body[0] == '-' {
			body = body[1:]
		}
		_, ok := digits(string(body))
		f.end()
		return ok
	case '$':
		most := f.mostBulk
		if most == 0 {
			most = maxBulk
		}
		length, null, ok := announced(body, most)
		if null || !ok {
			f.end()
			return ok
		}
		f.skip = length + 2
		return true
	case '*':
		length, null, ok := announced(body, maxItems)
		if null || !ok || length == 0 {
			f.end()
			return ok
		}
		f.items = append(f.items, length)
		return len(f.items) <= maxDepth
	default:
		return false
	}
}

// announced reads a length. -1 stands for nothing at all.
func announced(text []byte, most int) (length int, null, ok bool) {
	if string(text) == "-1" {
		return 0, true, true
	}
	n, ok := digits(string(text))
	return int(n), false, ok && n <= int64(most)
}

// end counts an element, and the arrays that end with it.
func (f *filter) end() {
	for len(f.items) > 0 {
		last := len(f.items) - 1
		f.items[last]--
		if f.items[last] > 0 {
			return
		}
		f.items = f.items[:last]
	}
	f.replies++
}
