//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// contender is something that can be put between an app and upstream.
type contender struct {
	name string
	port int
	// command and its environment; out takes what it prints.
	command []string
	env     []string
	out     string
	*process
}

const nginxConf = `worker_processes 1;
daemon off;
pid %[1]s/%[2]s.pid;
error_log %[1]s/%[2]s.log warn;
events { worker_connections 4096; }
http {
  access_log %[5]s;
  keepalive_requests 100000000;
  client_max_body_size 64m;
  client_body_temp_path %[1]s/%[2]s-body; proxy_temp_path %[1]s/%[2]s-p; fastcgi_temp_path %[1]s/%[2]s-f; uwsgi_temp_path %[1]s/%[2]s-u; scgi_temp_path %[1]s/%[2]s-s;
  upstream monite { server 127.0.0.1:%[4]d; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:%[3]d backlog=4096;
    location / {
      proxy_pass https://monite;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host localhost;
      proxy_set_header Authorization "%[6]s";
      proxy_set_header X-Monite-Entity-Id "%[7]s";
      proxy_ssl_trusted_certificate %[1]s/cert.pem;
      proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_server_name on; proxy_ssl_protocols TLSv1.3;
      proxy_request_buffering off; proxy_buffering on;
    }
  }
}
`

const haproxyConf = `global
  nbthread 1
  maxconn 8192
  %[5]s
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  %[6]s
frontend app
  bind 127.0.0.1:%[2]d backlog 4096
  default_backend monite
backend monite
  http-request set-header Host localhost
  http-request set-header Authorization "%[3]s"
  http-request set-header X-Monite-Entity-Id "%[4]s"
  server monite 127.0.0.1:%[7]d ssl verify required ca-file %[1]s/cert.pem sni str(localhost) ssl-min-ver TLSv1.3 pool-max-conn 512
`

const caddyConf = `{
  admin off
  auto_https off
}
http://:%[1]d {
  bind 127.0.0.1
  reverse_proxy https://127.0.0.1:%[2]d {
    header_up Host localhost
    header_up Authorization "%[3]s"
    header_up X-Monite-Entity-Id "%[4]s"
    transport http {
      tls_trust_pool file %[5]s
      tls_server_name localhost
    }
  }
}
`

// contenders are all that can be started here.
func contenders(p plan, dir string, up *upstream) ([]*contender, error) {
	var all []*contender
	var failed error
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			failed = err
		}
		return path
	}
	add := func(c *contender) {
		if _, err := exec.LookPath(c.command[0]); err != nil && c.command[0] != p.ProxyBin && c.command[0] != p.Before {
			fmt.Fprintf(os.Stderr, "bench: %s is left out: %v\n", c.name, err)
			return
		}
		if len(p.Only) == 0 || slices.Contains(p.Only, c.name) {
			c.out = filepath.Join(dir, c.name+".out")
			all = append(all, c)
		}
	}
	nginx := func(name, accessLog string) {
		port := freePort()
		conf := write(name+".conf", fmt.Sprintf(nginxConf, dir, name, port, up.port, accessLog, bearer, entity))
		add(&contender{name: name, port: port, command: []string{"nginx", "-c", conf, "-p", dir, "-e", filepath.Join(dir, name+".log")}})
	}
	haproxy := func(name, global, defaults string) {
		port := freePort()
		conf := write(name+".conf", fmt.Sprintf(haproxyConf, dir, port, bearer, entity, global, defaults, up.port))
		add(&contender{name: name, port: port, command: []string{"haproxy", "-db", "-f", conf}})
	}
	sidecar := func(name, binary string, extra ...string) { add(sidecarOf(up, name, binary, extra...)) }
	stock := func() {
		self, err := os.Executable()
		if err != nil {
			failed = err
			return
		}
		port := freePort()
		add(&contender{name: "stock-go", port: port, command: []string{self, "stock", fmt.Sprint(port), fmt.Sprint(up.port), up.ca}})
	}
	caddy := func() {
		port := freePort()
		conf := write("Caddyfile", fmt.Sprintf(caddyConf, port, up.port, bearer, entity, up.ca))
		add(&contender{name: "caddy", port: port, command: []string{p.Caddy, "run", "--config", conf, "--adapter", "caddyfile"}, env: []string{"HOME=" + dir}})
	}
	nginx("nginx", "off")
	nginx("nginx-log", filepath.Join(dir, "access.log"))
	haproxy("haproxy", "", "no log")
	haproxy("haproxy-log", "log stdout format raw local0", "log global\n  option httplog")
	sidecar("monite-proxy", p.ProxyBin, "MONITE_LISTENER=strict")
	sidecar("monite-proxy-std", p.ProxyBin, "MONITE_LISTENER=std")
	if p.Before != "" {
		sidecar("before", p.Before, "MONITE_LISTENER=strict")
	}
	stock()
	caddy()
	return all, failed
}

func sidecarOf(up *upstream, name, binary string, extra ...string) *contender {
	port := freePort()
	return &contender{name: name, port: port, command: []string{binary}, env: append([]string{
		"MONITE_CLIENT_ID=bench", "MONITE_CLIENT_SECRET=bench", "MONITE_ENTITY_ID=" + entity, "MONITE_CA_FILE=" + up.ca,
		fmt.Sprintf("MONITE_API_URL=https://localhost:%d", up.port), fmt.Sprintf("MONITE_LISTEN_ADDR=127.0.0.1:%d", port), fmt.Sprintf("MONITE_ADMIN_ADDR=127.0.0.1:%d", freePort()),
	}, extra...)}
}

func (c *contender) start() (err error) {
	c.process, err = startProcess(c.name, proxyCore, c.env, c.out, c.command...)
	if err != nil {
		return err
	}
	return c.waitListening(c.port)
}
