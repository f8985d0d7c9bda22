//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// wrk runs the closed-loop client and returns the number of responses with 200.
func wrk(port, connections int, duration time.Duration) (requests int, took time.Duration, cpu time.Duration, err error) {
	began := time.Now()
	seconds := max(1, int(duration.Round(time.Second)/time.Second))
	cmd := exec.Command("taskset", "-c", loadCore, "wrk", "-t1", fmt.Sprint("-c", connections), fmt.Sprint("-d", seconds, "s"), fmt.Sprintf("http://127.0.0.1:%d/v1/payables", port))
	text, err := cmd.CombinedOutput()
	if err != nil {
		return 0, 0, 0, fmt.Errorf("wrk: %w: %s", err, text)
	}
	if bytes.Contains(text, []byte("Non-2xx")) || bytes.Contains(text, []byte("Socket errors")) {
		return 0, 0, 0, fmt.Errorf("answers that are not 200: %s", text)
	}
	found := regexp.MustCompile(`(\d+) requests in`).FindSubmatch(text)
	if found == nil {
		return 0, 0, 0, fmt.Errorf("wrk printed %s", text)
	}
	requests, _ = strconv.Atoi(string(found[1]))
	return requests, time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// client is one connection of the open-loop client.
type client struct {
	conn net.Conn
	br   *bufio.Reader
}

func dialClient(port int, direct bool) (*client, error) {
	var conn net.Conn
	var err error
	address := fmt.Sprint("127.0.0.1:", port)
	if direct {
		// The certificate was just made, by ourselves.
		conn, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
	} else {
		conn, err = net.Dial("tcp", address)
	}
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReaderSize(conn, 64<<10)}, nil
}

func requestText(direct bool) []byte {
	text := "GET /v1/payables HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nUser-Agent: bench\r\n"
	if direct {
		text += "Authorization: " + bearer + "\r\nX-Monite-Entity-Id: " + entity + "\r\n"
	}
	return []byte(text + "\r\n")
}

func (c *client) do(request []byte) error {
	if err := c.send(request); err != nil {
		return err
	}
	return c.readAnswer()
}

func (c *client) send(request []byte) error {
	_ = c.conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, err := c.conn.Write(request)
	return err
}

func (c *client) readAnswer() error {
	response, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %d", response.StatusCode)
	}
	if n == 0 { // caddy says 200 to a Host that it does not serve
		return errors.New("an answer without a body, which is none of upstream's")
	}
	return nil
}

// openLoop sends at a rate, by Poisson arrivals, whether earlier ones have a response
// or not. A latency counts from the moment at which a request should have left: what
// waits for a free connection waits on the clock.
func openLoop(port int, direct bool, rate int, duration time.Duration) (latencies []time.Duration, err error) {
	const connections = 64
	request := requestText(direct)
	due := make(chan time.Time, 1<<16)
	var mu sync.Mutex
	var all sync.WaitGroup
	clients := make([]*client, connections)
	for i := range clients {
		if clients[i], err = dialClient(port, direct); err != nil {
			return nil, err
		}
		defer func() { _ = clients[i].conn.Close() }()
	}
	if err := atOnce(clients, request); err != nil {
		return nil, err
	}
	for _, c := range clients {
		all.Go(func() {
			for at := range due {
				failed := c.do(request)
				took := time.Since(at)
				mu.Lock()
				latencies = append(latencies, took)
				err = errors.Join(err, failed)
				mu.Unlock()
				if failed != nil {
					return
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	begin := time.Now()
	for at := begin; at.Before(begin.Add(duration)); {
		at = at.Add(time.Duration(random.ExpFloat64() / float64(rate) * float64(time.Second)))
		time.Sleep(time.Until(at))
		due <- at
	}
	close(due)
	all.Wait()
	slices.Sort(latencies)
	return latencies, err
}

// atOnce sends a request on each connection before it reads a response: after it, the
// contender has many connections to upstream, and none of their handshakes is measured.
func atOnce(clients []*client, request []byte) error {
	for _, c := range clients {
		if err := c.send(request); err != nil {
			return err
		}
	}
	for _, c := range clients {
		if err := c.readAnswer(); err != nil {
			return err
		}
	}
	return nil
}

// sendWrites sends n writes of 300 bytes, one after the other, no two the same.
func sendWrites(port, from, n int) error {
	c, err := dialClient(port, false)
	if err != nil {
		return err
	}
	defer func() { _ = c.conn.Close() }()
	for i := range n {
		request := fmt.Sprintf("POST /v1/payables HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 300\r\n\r\n{\"n\":%12d,\"note\":\"%s\"}",
			from+i, strings.Repeat("x", 300-28))
		if err := c.do([]byte(request)); err != nil {
			return err
		}
	}
	return nil
}

// bodies sends n requests with a body of 1 MiB down or up, one after the other.
func bodies(port, n int, up bool) error {
	c, err := dialClient(port, false)
	if err != nil {
		return err
	}
	defer func() { _ = c.conn.Close() }()
	request := []byte("GET /v1/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if up {
		request = append([]byte("POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n"), make([]byte, 1<<20)...)
	}
	for range n {
		if err := c.do(request); err != nil {
			return err
		}
	}
	return nil
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
