//go:build linux

package main

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// What the contenders have to add. The bearer is as long as Monite's.
var bearer = "Bearer " + strings.Repeat("bench-token.", 66)

const entity = "9d2b4c8f-2087-4738-ba91-7359683c49a4"

// upstream is nginx over TLS 1.3 on the core that is not the contender's.
type upstream struct {
	*process
	port int
	ca   string
}

const upstreamConf = `worker_processes 1;
daemon off;
pid %[1]s/upstream.pid;
error_log %[1]s/upstream.log warn;
events { worker_connections 4096; }
http {
  access_log off;
  default_type application/json;
  keepalive_requests 100000000;
  client_max_body_size 64m;
  client_body_temp_path %[1]s/up-body; proxy_temp_path %[1]s/up-p; fastcgi_temp_path %[1]s/up-f; uwsgi_temp_path %[1]s/up-u; scgi_temp_path %[1]s/up-s;
  server {
    listen 127.0.0.1:%[2]d ssl backlog=4096;
    ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    location = /v1/auth/token { return 200 '{"access_token":"%[3]s","token_type":"Bearer","expires_in":86400}'; }
    location / {
      if ($http_authorization != "%[4]s") { return 401; }
      if ($http_x_monite_entity_id != "%[5]s") { return 401; }
      location = /v1/payables { return 200 '%[6]s'; }
      # An answer before the end of the body would be another test.
      location = /v1/files { client_body_buffer_size 2m; proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_pass http://unix:%[1]s/read.sock:/; }
      location = /v1/large { root %[1]s; }
    }
  }
  server { listen unix:%[1]s/read.sock; return 200 '{}'; }
}
`

func startUpstream(dir string) (*upstream, error) {
	u := &upstream{ca: filepath.Join(dir, "cert.pem")}
	certificate := wiretest.SelfSigned(func(c *x509.Certificate) { // its own root
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
	})
	for name, text := range map[string][]byte{"cert.pem": wiretest.CertPEM(certificate), "key.pem": wiretest.KeyPEM(certificate)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "v1"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "v1", "large"), make([]byte, 1<<20), 0o644); err != nil {
		return nil, err
	}
	_ = os.Chmod(dir, 0o755) // its workers run as another user
	u.port = freePort()
	item := `{"data":[{"id":"` + entity + `","status":"draft","note":"` + strings.Repeat("x", 930) + `"}]}`
	conf := fmt.Sprintf(upstreamConf, dir, u.port, strings.TrimPrefix(bearer, "Bearer "), bearer, entity, item)
	path := filepath.Join(dir, "upstream.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	var err error
	u.process, err = startProcess("upstream", loadCore, nil, filepath.Join(dir, "upstream.out"), "nginx", "-c", path, "-p", dir, "-e", filepath.Join(dir, "upstream.log"))
	if err != nil {
		return nil, err
	}
	return u, u.waitListening(u.port)
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
