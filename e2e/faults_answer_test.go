package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// oddAnswers are written as they are, and what the app may see of each. After
// most the connection stays open, as a bad upstream would leave it.
var oddAnswers = map[string]struct{ text, said string }{
	"1xx_16":            {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 16) + okHead + faultAnswer, "200"},
	"1xx_10000":         {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 10_000) + okHead + faultAnswer, broken},
	"101":               {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello", broken},
	"204_with_body":     {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", "204"},
	"304_with_body":     {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", "304"},
	"length_too_short":  {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + faultAnswer, "200"},
	"two_answers":       {okHead + faultAnswer + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!", "200"},
	"same_length_twice": {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nContent-Length: 11\r\n\r\n" + faultAnswer, "200"},
	"two_lengths":       {"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nContent-Length: 12\r\n\r\n" + faultAnswer, broken},
	"length_list":       {"HTTP/1.1 200 OK\r\nContent-Length: 11, 12\r\n\r\n" + faultAnswer, broken},
	"length_negative":   {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + faultAnswer, broken},
	"length_plus":       {"HTTP/1.1 200 OK\r\nContent-Length: +11\r\n\r\n" + faultAnswer, broken},
	"length_word":       {"HTTP/1.1 200 OK\r\nContent-Length: eleven\r\n\r\n" + faultAnswer, broken},
	"length_overflow":   {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n" + faultAnswer, broken},
	"length_and_chunked": {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n" + faultAnswer + "\r\n0\r\n\r\n",
		"200 | " + broken},
	"coding_unknown":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nb\r\n" + faultAnswer + "\r\n0\r\n\r\n", broken},
	"chunk_extension": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb;a=b\r\n" + faultAnswer + "\r\n0\r\n\r\n", "200"},
	"chunk_bad_size":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" + faultAnswer + "\r\n0\r\n\r\n", "abort | " + broken},
	"chunk_huge_size": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + faultAnswer, "abort | " + broken},
	"trailer": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\nb\r\n" + faultAnswer +
		"\r\n0\r\nSet-Cookie: a=b\r\n\r\n", "200"},
	"head_of_1MiB":       {"HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 1<<20) + "\r\nContent-Length: 11\r\n\r\n" + faultAnswer, broken},
	"fields_20000":       {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Many: 1234567\r\n", 20_000) + "Content-Length: 11\r\n\r\n" + faultAnswer, broken},
	"head_endless":       {"HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 4<<20), broken},
	"nul_in_value":       {"HTTP/1.1 200 OK\r\nX-Odd: a\x00b\r\nContent-Length: 11\r\n\r\n" + faultAnswer, "200 | " + broken},
	"cr_in_value":        {"HTTP/1.1 200 OK\r\nX-Odd: a\rX-Injected: b\r\nContent-Length: 11\r\n\r\n" + faultAnswer, "200 | " + broken},
	"escape_in_value":    {"HTTP/1.1 200 OK\r\nX-Odd: \x1b[31m\r\nContent-Length: 11\r\n\r\n" + faultAnswer, "200 | " + broken},
	"high_bytes":         {"HTTP/1.1 200 OK\r\nX-Odd: \xff\xfe\r\nContent-Length: 11\r\n\r\n" + faultAnswer, "200 | " + broken},
	"space_in_name":      {"HTTP/1.1 200 OK\r\nX Odd: a\r\nContent-Length: 11\r\n\r\n" + faultAnswer, "200 | " + broken},
	"space_before_colon": {"HTTP/1.1 200 OK\r\nContent-Length : 3\r\nContent-Length: 11\r\n\r\n" + faultAnswer, "200 | " + broken},
	"no_colon":           {"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 11\r\n\r\n" + faultAnswer, broken},
	"empty_name":         {"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 11\r\n\r\n" + faultAnswer, broken},
	"folded":             {"HTTP/1.1 200 OK\r\nX-Odd: a\r\n b\r\nContent-Length: 11\r\n\r\n" + faultAnswer, "200 | " + broken},
	"bare_lf":            {"HTTP/1.1 200 OK\nContent-Length: 11\n\n" + faultAnswer, "200 | " + broken},
	"status_99":          {"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n", broken},
	"status_999":         {"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "999"},
	"status_1000":        {"HTTP/1.1 1000 Odd\r\nContent-Length: 0\r\n\r\n", broken},
	"status_word":        {"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n", broken},
	"status_negative":    {"HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n", broken},
	"http_0_9":           {"<html>hello</html>\r\n\r\n", broken},
	"http_1_0":           {"HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n" + faultAnswer, "200"},
	"http_1_9":           {"HTTP/1.9 200 OK\r\nContent-Length: 11\r\n\r\n" + faultAnswer, "200 | " + broken},
	"http_3":             {"HTTP/3.0 200 OK\r\nContent-Length: 11\r\n\r\n" + faultAnswer, broken},
	"lower_case":         {"http/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + faultAnswer, broken},
	"nonsense":           {string(noise[:2000]) + "\r\n\r\n", broken},
	"an_imitation": {"HTTP/1.1 502 Bad Gateway\r\nProxy-Status: monite-proxy; error=x\r\nX-Monite-Proxy-Outcome: not_sent\r\n" +
		"Content-Length: 11\r\n\r\n" + faultAnswer, "502"},
}

var shapeHEAD = faultShape{"HEAD", http.MethodHead, ""}

// Each answer ends as one status or as a visible abort, and what is left of it
// never becomes the answer to the next request.
func faultsOddAnswers(r *faultRun) {
	for _, name := range sortedNames(oddAnswers) {
		odd, when := oddAnswers[name], inUsual
		if name == "two_answers" {
			when = inShort
		}
		r.each(when, name, shapesOfAll, func(c *faultCell, shape faultShape) {
			o := c.warm(shape, quickEnv)
			o.behave(nil, func(x *faultExchange) bool { return x.execute() && x.say(odd.text) })
			one := c.do(shape)
			attempts := 1
			if shape.method == http.MethodGet {
				attempts = 2
			}
			c.want(one, odd.said, attempts, 1, attempts)
			if one.String() == "200" && name != "length_too_short" && one.body != faultAnswer {
				c.Errorf("body = %q", one.body)
			}
			for field, values := range one.header {
				if strings.ContainsFunc(strings.Join(values, ""), func(char rune) bool { return char < ' ' && char != '\t' || char == 0x7f }) {
					c.Errorf("%s of the answer has control characters: %q", field, values)
				}
				if strings.ContainsAny(field, " \t") { // RFC 9112, 5.1
					c.Errorf("the answer has a field %q", field)
				}
			}
			if one.header.Get("X-Injected") != "" || one.header.Get("Set-Cookie") != "" {
				c.Errorf("a field was made of what was none: %v", one.header)
			}
			o.behave(nil, faultOK)
			for range 3 {
				next := c.do(shape)
				c.served(next)
				if next.body != faultAnswer {
					c.Errorf("the next request got %q", next.body)
				}
			}
		})
	}
	r.cell(inUsual, "head_with_body/HEAD", func(c *faultCell) {
		o := c.upstream(quickEnv)
		o.behave(nil, func(x *faultExchange) bool { return x.execute() && x.say(okHead+faultAnswer) })
		for range 5 {
			c.want(c.do(shapeHEAD), "200", 2, 1, 2)
		}
		o.behave(nil, faultOK)
		if next := c.do(shapeGET); next.body != faultAnswer {
			c.Errorf("the next request got %q", next.body)
		}
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		r.each(inUsual, fmt.Sprint(status, "_elsewhere"), shapesOfAll, func(c *faultCell, shape faultShape) {
			elsewhere := newOrigin(c.T, nil)
			o := c.upstream(quickEnv)
			o.behave(nil, func(x *faultExchange) bool {
				return x.execute() && x.say(fmt.Sprintf("HTTP/1.1 %d Elsewhere\r\nLocation: %s/v1/tags\r\nContent-Length: 0\r\n\r\n", status, elsewhere.url()))
			})
			one := c.do(shape)
			c.want(one, strconv.Itoa(status), 1, 1, 1)
			if got, want := one.header.Get("Location"), elsewhere.url()+"/v1/tags"; got != want {
				c.Errorf("Location = %q, want %q", got, want)
			}
			if elsewhere.connections() > 0 {
				c.Error("I2: the redirect was followed")
			}
		})
	}
}

func faultsBodies(r *faultRun) {
	r.each(inUsual, "no_length_fin", shapesOfAll, func(c *faultCell, shape faultShape) {
		o := c.upstream(quickEnv)
		o.behave(nil, func(x *faultExchange) bool {
			return x.execute() && x.say("HTTP/1.1 200 OK\r\n\r\n"+faultAnswer) && x.fin()
		})
		if one := c.do(shape); one.String() != "200" || one.body != faultAnswer {
			c.Errorf("%s %q", one, one.body)
		}
	})
	r.each(inShort, "no_length_rst", shapesOfAll, func(c *faultCell, shape faultShape) {
		o := c.upstream(quickEnv)
		o.behave(nil, func(x *faultExchange) bool {
			x.execute()
			x.say("HTTP/1.1 200 OK\r\n\r\n" + faultAnswer)
			time.Sleep(50 * time.Millisecond)
			return x.reset()
		})
		c.want(c.do(shape), "abort", 1, 1, 1)
	})
	// Over TLS a bare FIN is no end: anybody on the way can send one.
	r.each(inUsual, "no_length_tls_without_close_notify", shapesShort, func(c *faultCell, shape faultShape) {
		ca := newCA(c.T)
		o := c.origin(ca.server("localhost", time.Now().Add(time.Hour)))
		c.start(quickEnv(o.url()).with("MONITE_CA_FILE", ca.file))
		o.behave(nil, func(x *faultExchange) bool {
			x.execute()
			x.say("HTTP/1.1 200 OK\r\n\r\n" + faultAnswer)
			time.Sleep(50 * time.Millisecond)
			_ = x.socket.Close()
			return false
		})
		c.want(c.do(shape), "abort", 1, 1, 1)
	})
	r.each(inUsual, "gzip_bomb", shapesShort, func(c *faultCell, shape faultShape) {
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		_, _ = io.CopyN(zip, zeros{}, 256<<20)
		_ = zip.Close()
		o := c.warm(shape, defaultEnv)
		for _, status := range []string{"200 OK", "400 Bad Request", "403 Forbidden"} { // the last two are looked into
			o.behave(nil, func(x *faultExchange) bool {
				return x.execute() && x.say(fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s",
					status, packed.Len(), packed.String()))
			})
			one := c.do(shape, "Accept-Encoding", "gzip")
			c.want(one, status[:3], 1, 1, 1)
			if one.body != packed.String() {
				c.Errorf("%s: %d bytes came, want the %d that were sent", status, len(one.body), packed.Len())
			}
		}
		c.flat(16 << 20)
	})
	r.each(inUsual, "a_byte_per_100ms", shapesOfAll, func(c *faultCell, shape faultShape) {
		c.drip(shape, 100*time.Millisecond)
	})
	r.each(inFull, "a_byte_per_10s", shapesShort, func(c *faultCell, shape faultShape) {
		c.drip(shape, 10*time.Second)
	})
	for when, size := range map[faultWhen]int64{inUsual: 256 << 20, inFull: 10 << 30} {
		name := fmt.Sprintf("%dMiB", size>>20)
		r.cell(when, name+"_answer/GET", func(c *faultCell) { c.largeAnswer(http.MethodGet, size) })
		r.cell(when, name+"_answer/POST", func(c *faultCell) { c.largeAnswer(http.MethodPost, size) })
		r.cell(when, name+"_upload/POST_stream", func(c *faultCell) { c.largeUpload(size) })
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// drip has upstream answer byte by byte, with more between two bytes in all
// than the limit to the head.
func (c *faultCell) drip(shape faultShape, pause time.Duration) {
	o := c.upstream(quickEnv)
	o.behave(nil, func(x *faultExchange) bool {
		x.execute()
		x.say(okHead)
		for _, char := range faultAnswer {
			time.Sleep(pause)
			if !x.say(string(char)) {
				return false
			}
		}
		return true
	})
	one := c.do(shape)
	c.want(one, "200", 1, 1, 1)
	if one.body != faultAnswer {
		c.Errorf("body = %q", one.body)
	}
}

// largeAnswer and largeUpload pass that many bytes at flat memory.
func (c *faultCell) largeAnswer(method string, size int64) {
	o := c.upstream(defaultEnv)
	o.behave(nil, func(x *faultExchange) bool {
		if !x.execute() || !x.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)) {
			return false
		}
		_, err := io.Copy(struct{ io.Writer }{x.conn}, pattern(size))
		return err == nil
	})
	c.large(method, http.NoBody, 0, size)
}

func (c *faultCell) largeUpload(size int64) {
	o := c.upstream(defaultEnv, "MONITE_MAX_BODY_BYTES", strconv.FormatInt(size, 10))
	got := make(chan string, 1)
	o.behave(nil, func(x *faultExchange) bool {
		h := crc()
		_, err := io.Copy(h, x.in.Body)
		got <- fmt.Sprintf("%x %v", h.Sum(nil), err)
		return x.say(okHead + faultAnswer)
	})
	c.large(http.MethodPost, pattern(size), size, int64(len(faultAnswer)))
	if text, want := <-got, fmt.Sprintf("%s %v", sum(crc(), pattern(size)), nil); text != want {
		c.Errorf("upstream read %s, want %s", text, want)
	}
}

func (c *faultCell) large(method string, body io.Reader, length, want int64) {
	before, began := c.s.peakMemory(), time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	in, err := http.NewRequestWithContext(ctx, method, c.s.Data+"/v1/files", body)
	if err != nil {
		c.Fatal(err)
	}
	in.ContentLength = length
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(in)
	if err != nil {
		c.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	h := crc()
	n, err := io.Copy(h, response.Body)
	if response.StatusCode != http.StatusOK || err != nil || n != want {
		c.Fatalf("%d, %d bytes, %v, want 200 and %d bytes", response.StatusCode, n, err, want)
	}
	if length == 0 && fmt.Sprintf("%x", h.Sum(nil)) != sum(crc(), pattern(want)) {
		c.Error("other bytes came than were sent")
	}
	peak, moved := c.s.peakMemory(), max(length, want)
	c.figure("%d MiB in %v: VmHWM %.1f MiB, %.1f before", moved>>20, time.Since(began).Round(time.Millisecond), mib(peak), mib(before))
	if peak > 64<<20 {
		c.Errorf("VmHWM = %.1f MiB, want at most 64", mib(peak))
	}
}
