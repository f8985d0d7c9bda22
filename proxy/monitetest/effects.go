package monitetest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

// strike applies a fault before execution. It reports whether that was all.
func (s *Simulator) strike(c *call, f *Fault) (done bool) {
	if !sleep(c.r.Context(), time.Duration(f.Delay)) {
		return true
	}
	if f.Effect == EffectDelay {
		return false
	}
	s.disturb(c, f)
	return true
}

// distort applies a fault after execution: a is the response without the fault.
func (s *Simulator) distort(c *call, f *Fault, a *answer) {
	if f.Effect != EffectDrip && !sleep(c.r.Context(), time.Duration(f.Delay)) {
		return
	}
	switch f.Effect {
	case EffectDelay:
		c.write(a)
	case EffectTruncate, EffectTruncateRST, EffectStall:
		half(c, a, f.Effect)
	case EffectBrokenChunk:
		brokenChunk(c, a)
	case EffectDrip:
		drip(c, a, time.Duration(f.Delay))
	case EffectEndless:
		endless(c, a)
	case EffectGzip:
		a.body = compress(a.body)
		c.write(a.set("Content-Encoding", "gzip"))
	case EffectTokenCRLF, EffectTokenDuplicateKeys, EffectTokenExpiresIn:
		spoilToken(a, f)
		c.write(a)
	default:
		s.disturb(c, f)
	}
}

// disturb applies the effects that do not need a response to work on.
func (s *Simulator) disturb(c *call, f *Fault) {
	switch f.Effect {
	case EffectAnswer:
		a := (&answer{status: f.Status, body: []byte(f.Body)}).set("Content-Type", "application/json")
		for name, value := range f.Header {
			a.set(name, value)
		}
		c.write(a)
	case EffectExpired:
		c.write(failure(f.Status, "unauthorized", "The token has been expired."))
	case EffectHTML:
		a := &answer{status: http.StatusOK, body: []byte("<!doctype html><title>Maintenance</title><h1>Back soon</h1>\n")}
		c.write(a.set("Content-Type", "text/html; charset=utf-8"))
	case EffectHang:
		// The server only watches for the client's leaving once the body has
		// been read; so a body, if any, is given up for that.
		c.untilGone()
	case EffectFIN:
		hangUp(c, nil, false)
	case EffectRST:
		hangUp(c, nil, true)
	case EffectRaw:
		hangUp(c, []byte(f.Body), false)
	}
}

// hangUp takes the connection from the server, writes what is given and
// closes. Where there is no connection (HTTP/2, a recorder) it aborts.
func hangUp(c *call, last []byte, reset bool) {
	conn, buffered, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = conn.Write(last)
	tcp, ok := conn.(*net.TCPConn)
	if ok && reset {
		_ = tcp.SetLinger(0)
		return
	}
	if ok {
		// Closing with unread bytes in the receive buffer makes the kernel
		// send RST instead of FIN: half-close, read what comes, then close.
		_ = tcp.CloseWrite()
		_, _ = io.Copy(io.Discard, buffered)
	}
}

// head writes the status line and fields as the server would, but with a
// framing of our choice.
func head(c *call, a *answer, framing string) []byte {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	h := c.w.Header().Clone()
	maps.Copy(h, a.headers())
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_ = h.Write(&buf)
	buf.WriteString(framing + "\r\n\r\n")
	return buf.Bytes()
}

func half(c *call, a *answer, effect Effect) {
	sent := a.body[:len(a.body)/2]
	length := len(a.body)
	if length == 0 {
		length = 100 // a body that is announced and never comes
	}
	c.record.Status = a.status
	if effect == EffectStall {
		maps.Copy(c.w.Header(), a.headers())
		c.w.Header().Set("Content-Length", strconv.Itoa(length))
		c.w.WriteHeader(a.status)
		_, _ = c.w.Write(sent)
		_ = http.NewResponseController(c.w).Flush()
		c.untilGone()
		return
	}
	message := append(head(c, a, "Content-Length: "+strconv.Itoa(length)), sent...)
	hangUp(c, message, effect == EffectTruncateRST)
}

func brokenChunk(c *call, a *answer) {
	sent := a.body[:(len(a.body)+1)/2]
	message := head(c, a, "Transfer-Encoding: chunked")
	if len(sent) > 0 {
		message = fmt.Appendf(message, "%x\r\n%s\r\n", len(sent), sent)
	}
	c.record.Status = a.status
	hangUp(c, append(message, "no chunk size\r\n\r\n"...), false)
}

func drip(c *call, a *answer, pause time.Duration) {
	a.stream = func(w http.ResponseWriter, r *http.Request) {
		for i := range a.body {
			if !sleep(r.Context(), pause) {
				return
			}
			_, _ = w.Write(a.body[i : i+1])
			_ = http.NewResponseController(w).Flush()
		}
	}
	a.set("Content-Length", strconv.Itoa(len(a.body)))
	c.write(a)
}

// endless stops at 1 GiB, even if no client has read it.
func endless(c *call, a *answer) {
	a.stream = func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":"`)
		piece := bytes.Repeat([]byte("x"), 32<<10)
		for range (1 << 30) / len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	c.write(a)
}

func compress(body []byte) []byte {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	_, _ = zip.Write(body)
	_ = zip.Close()
	return buf.Bytes()
}

// spoilToken changes a token response; other responses stay as they are.
func spoilToken(a *answer, f *Fault) {
	var fields struct {
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
		TokenType   string          `json:"token_type"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &fields) != nil || fields.AccessToken == "" {
		return
	}
	whole := fmt.Sprintf(`"access_token":%q,"expires_in":%s,"token_type":%q`, fields.AccessToken, fields.ExpiresIn, fields.TokenType)
	switch f.Effect {
	case EffectTokenCRLF:
		whole = fmt.Sprintf(`"access_token":%q,"expires_in":%s,"token_type":%q`,
			fields.AccessToken+"\r\nX-Injected: yes", fields.ExpiresIn, fields.TokenType)
	case EffectTokenDuplicateKeys:
		whole = `"access_token":"` + newOpaque() + `","expires_in":1,"token_type":"Basic",` + whole
	case EffectTokenExpiresIn:
		whole = fmt.Sprintf(`"access_token":%q,"token_type":%q`, fields.AccessToken, fields.TokenType)
		if f.Value != "" {
			whole += `,"expires_in":` + f.Value
		}
	}
	a.body = []byte("{" + whole + "}")
}

// sleep reports whether the time has passed before the client left.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
