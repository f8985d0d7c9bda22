package upstream

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strings"
)

// maxFields bounds the fields of one head, which the bytes of a head alone
// would let be a hundred thousand.
const maxFields = 1000

// field locates a field in its section: name and value are two spans.
type field struct{ name, nameEnd, value, valueEnd int }

// parseFields finds the fields of section from pos on, in place: a name gets
// its canonical form, a folded line moves up to the line before. It reports
// whether anything about them is odd, though readable: a line that is folded
// or ends in a bare LF, a blank in a name.
func (c *conn) parseFields(section []byte, pos int) (odd bool, err error) {
	c.fields, c.spelt = c.fields[:0], c.spelt[:0]
	for {
		end := pos + bytes.IndexByte(section[pos:], '\n') // a section ends in a blank line
		line, crlf := bytes.CutSuffix(section[pos:end], []byte("\r"))
		odd = odd || !crlf
		switch {
		case len(line) == 0:
			return odd, nil
		case line[0] == ' ' || line[0] == '\t':
			odd = true
			if !c.unfold(section, pos, pos+len(line)) {
				return odd, errHeadMalformed
			}
		default:
			blank, ok := c.addField(line, pos)
			if !ok {
				return odd, errHeadMalformed
			}
			odd = odd || blank
		}
		pos = end + 1
	}
}

func (c *conn) addField(line []byte, pos int) (blank, ok bool) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || len(c.fields) == maxFields {
		return false, false
	}
	name, known := line[:colon], len(c.spelt)
	c.spelt = append(append(append(append(c.spelt, name...), ':'), name...), '\n')
	if blank, ok = canonicalise(name); !ok {
		return blank, false
	}
	if bytes.Equal(c.spelt[known:known+colon], name) {
		c.spelt = c.spelt[:known]
	} else {
		copy(c.spelt[known:], name)
	}
	value, end := trim(line, colon+1, len(line))
	c.fields = append(c.fields, field{pos, pos + colon, pos + value, pos + end})
	return blank, plain(line[value:end])
}

// unfold appends the folded line section[from:to] to the last field's value,
// by one space, as net/http does.
func (c *conn) unfold(section []byte, from, to int) bool {
	if len(c.fields) == 0 {
		return false
	}
	last := &c.fields[len(c.fields)-1]
	from, to = trim(section, from, to)
	rest := section[from:to]
	if last.value == last.valueEnd {
		last.value, last.valueEnd = from, to
	} else {
		// The line break and the blank that made it folded leave the room.
		section[last.valueEnd] = ' '
		last.valueEnd += 1 + copy(section[last.valueEnd+1:], rest)
	}
	return plain(section[last.value:last.valueEnd])
}

// trim narrows a span of b by the spaces and tabs at both ends.
func trim(b []byte, from, to int) (start, end int) {
	for from < to && (b[from] == ' ' || b[from] == '\t') {
		from++
	}
	for to > from && (b[to-1] == ' ' || b[to-1] == '\t') {
		to--
	}
	return from, to
}

// nameByte holds the bytes of a field name (a token) in lower and in upper
// case; 0: not one of them.
var nameByte = func() (table [2][256]byte) {
	for _, b := range []byte("!#$%&'*+-.^_`|~0123456789") {
		table[0][b], table[1][b] = b, b
	}
	for b := byte('a'); b <= 'z'; b++ {
		upper := b - 'a' + 'A'
		table[0][b], table[0][upper] = b, b
		table[1][b], table[1][upper] = upper, upper
	}
	return table
}()

// canonicalise gives a name the form that http.Header wants. A name with a blank in
// it is left as it is, as net/http does, so that it does not match a known one.
func canonicalise(name []byte) (blank, ok bool) {
	if bytes.IndexByte(name, ' ') >= 0 {
		for _, b := range name {
			if b != ' ' && nameByte[0][b] == 0 {
				return true, false
			}
		}
		return true, true
	}
	upper := 1
	for i, b := range name {
		to := nameByte[upper][b]
		if to == 0 {
			return false, false
		}
		name[i] = to
		upper = 0
		if b == '-' {
			upper = 1
		}
	}
	return false, true
}

// plain reports whether value is free of control bytes but tabs, eight bytes
// at a time.
func plain[T string | []byte](value T) bool {
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	b := []byte(value)
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		del := w ^ 0x7f*ones
		// The high bit of a byte is set if it is below 0x20, or 0x7f, and perhaps
		// in the bytes after such a one.
		if ((w-0x20*ones)&^w|(del-ones)&^del)&high != 0 && !plainEach(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return plainEach(b)
}

func plainEach(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// largeHead is the size from which the strings of a head are made one by one: a
// caller that keeps one of them would otherwise keep the whole head.
const largeHead = 4 << 10

// header makes a map of the fields, in room; text is their section.
func (c *conn) header(text string, room *Room) http.Header {
	header, values := room.Take(len(c.fields))
	apart := len(text) > largeHead
	for i, f := range c.fields {
		name := text[f.name:f.nameEnd]
		values[i] = text[f.value:f.valueEnd]
		if apart {
			name, values[i] = strings.Clone(name), strings.Clone(values[i])
		}
		if before, ok := header[name]; ok {
			header[name] = append(before, values[i])
			continue
		}
		// No capacity beyond itself: an append must not run into the neighbour.
		header[name] = values[i : i+1 : i+1]
	}
	return header
}
