//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// contender is one way to upstream.
type contender struct {
	name   string
	base   string
	client *http.Client
	header http.Header
	stop   func()
}

// get asks once and returns how long it took.
func (c *contender) get(pairs ...string) (time.Duration, error) {
	in, err := http.NewRequest(http.MethodGet, c.base+"/v1/entities", nil)
	if err != nil {
		return 0, err
	}
	in.Header = c.header.Clone()
	for i := 0; i+1 < len(pairs); i += 2 {
		in.Header.Set(pairs[i], pairs[i+1])
	}
	begun := time.Now()
	response, err := c.client.Do(in)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d", c.name, response.StatusCode)
	}
	return time.Since(begun), err
}

// nearDial dials in the near namespace.
func nearDial(_ context.Context, network, addr string) (conn net.Conn, err error) {
	err = inside(near, func() (err error) {
		conn, err = net.Dial(network, addr)
		return err
	})
	return conn, err
}

// direct is an app that asks upstream itself, with a token that it has.
func direct(u *upstream) *contender {
	transport := &http.Transport{DialContext: nearDial, TLSClientConfig: &tls.Config{RootCAs: u.roots}, IdleConnTimeout: 90 * time.Second}
	return &contender{name: "app directly", base: u.url, client: &http.Client{Transport: transport}, header: http.Header{"Authorization": {"Bearer " + token}}, stop: func() {}}
}

func localClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: nearDial}}
}

func start(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command("ip", append([]string{"netns", "exec", near, name}, args...)...)
	cmd.Stderr = os.Stderr
	if os.Getenv("DELAY_LOG") == "" {
		cmd.Stderr = nil
	}
	return cmd, cmd.Start()
}

// copyOf is the address of the n-th copy of a contender.
func copyOf(n int) string { return fmt.Sprintf("127.0.0.%d", n+1) }

// newSidecar starts one and returns when its port is open.
func newSidecar(u *upstream, n int) (*contender, error) {
	host := copyOf(n)
	for name, value := range map[string]string{
		"MONITE_API_URL": u.url, "MONITE_CA_FILE": u.file, "MONITE_CLIENT_ID": "delay", "MONITE_CLIENT_SECRET": "delay-secret",
		"MONITE_LISTEN_ADDR": host + ":8080", "MONITE_ADMIN_ADDR": host + ":8081", "MONITE_ALLOWED_ENTITY_USER_IDS": "*",
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	cmd, err := start("bin/monite-proxy")
	if err != nil {
		return nil, err
	}
	c := &contender{name: "sidecar", base: "http://" + host + ":8080", client: localClient(), header: http.Header{}, stop: func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }}
	return c, awaitPort(host + ":8080")
}

func awaitPort(addr string) error {
	for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(time.Millisecond) {
		if conn, err := nearDial(context.Background(), "tcp", addr); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("nobody listens on %s", addr)
}

// newNginx starts one with keep-alive to upstream and a token in its configuration;
// nil if there is none here.
func newNginx(u *upstream, n int) (*contender, error) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		return nil, nil //nolint:nilnil,nilerr // it is left out
	}
	folder, err := os.MkdirTemp("", "delay-nginx-")
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(folder, "nginx.conf")
	text := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  upstream monite { server %[2]s:8443; keepalive 16; }
  server {
    listen %[5]s:8090;
    location / {
      proxy_pass https://monite; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host upstream;
      proxy_set_header Authorization "Bearer %[3]s"; proxy_ssl_trusted_certificate %[4]s; proxy_ssl_verify on; proxy_ssl_name upstream;
      proxy_ssl_protocols TLSv1.3;
    }
  }
}
`, folder, farIP, token, u.file, copyOf(n))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd, err := start(path, "-c", conf)
	if err != nil {
		return nil, err
	}
	c := &contender{name: "nginx", base: "http://" + copyOf(n) + ":8090", client: localClient(), header: http.Header{}, stop: func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = os.RemoveAll(folder)
	}}
	return c, awaitPort(copyOf(n) + ":8090")
}
