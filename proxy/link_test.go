package proxy

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

func TestLinksLeadHere(t *testing.T) {
	for i, row := range []struct {
		given, want, under []string // under a prefix
	}{
		{[]string{`<https://ORIGIN/v1/payables?limit=1&p=a%2Fb>; rel="next"`}, []string{`</v1/payables?limit=1&p=a%2Fb>; rel="next"`}, []string{`</as/shop/v1/payables?limit=1&p=a%2Fb>; rel="next"`}},
		{[]string{`<http://ORIGIN/v1/a>; rel=next, <//ORIGIN/v1/b>; rel=prev`}, []string{`</v1/a>; rel=next, </v1/b>; rel=prev`}, []string{`</as/shop/v1/a>; rel=next, </as/shop/v1/b>; rel=prev`}},
		{[]string{`<https://ORIGIN/v1/a>; rel=next`, `<https://evil.example/v1/b>; rel=x`}, []string{`</v1/a>; rel=next`, `<https://evil.example/v1/b>; rel=x`}, []string{`</as/shop/v1/a>; rel=next`, `<https://evil.example/v1/b>; rel=x`}},
		{[]string{`<https://evil-ORIGIN/v1/a>; rel=next`}, []string{`<https://evil-ORIGIN/v1/a>; rel=next`}, []string{`<https://evil-ORIGIN/v1/a>; rel=next`}},
		{[]string{`<https://user@ORIGIN/v1/a>`}, []string{`</v1/a>`}, []string{`</as/shop/v1/a>`}},
		{[]string{`</v1/a>; rel=next`}, []string{`</v1/a>; rel=next`}, []string{`</as/shop/v1/a>; rel=next`}},
		{[]string{`<?page=2>; rel=next`}, []string{`<?page=2>; rel=next`}, []string{`<?page=2>; rel=next`}},
		{[]string{`<a>; title="<https://ORIGIN/v1/x>, \"<https://ORIGIN>"; rel=x, <https://ORIGIN/v1/b>`}, []string{`<a>; title="<https://ORIGIN/v1/x>, \"<https://ORIGIN>"; rel=x, </v1/b>`}, nil},
		{[]string{`x="never closed, <https://ORIGIN/v1/b>; rel=next`}, []string{`x="never closed, </v1/b>; rel=next`}, nil},
		{[]string{`< https://ORIGIN/v1/b >; rel=next`}, []string{`</v1/b>; rel=next`}, []string{`</as/shop/v1/b>; rel=next`}},
		{[]string{`<>; rel=self`}, []string{`<>; rel=self`}, []string{`<>; rel=self`}},
		{[]string{`<unclosed`}, []string{`<unclosed`}, []string{`<unclosed`}},
		{[]string{`</v1/%2e%2e/x>; rel=next`}, []string{`</v1/%2e%2e/x>; rel=next`}, []string{}},
		{[]string{`<\evil>; rel=next`, `</v1/a>; rel=x`}, nil, []string{`</as/shop/v1/a>; rel=x`}},
	} {
		var says string
		o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
			for {
				if _, _, err := p.Request(); err != nil {
					return
				}
				p.Say(says)
			}
		})
		origin := func(values []string) (all []string) {
			for _, value := range values {
				all = append(all, strings.ReplaceAll(value, "ORIGIN", o.URL.Host))
			}
			return all
		}
		says = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
		for _, link := range origin(row.given) {
			says += fmt.Sprintf("Link: %s\r\n", link)
		}
		says += "\r\n"
		r := newRig(t, &url.URL{Scheme: "http", Host: o.URL.Host}, func(c *Config, _ *upstream.Transport) {
			c.Policy.Named = []identity.Named{{Name: "shop", Grant: tokencache.Grant{Type: tokencache.ClientCredentials}, PathPrefix: "/as/shop"}}
		})
		for path, want := range map[string][]string{"/v1/payables": row.want, "/as/shop/v1/payables": row.under} {
			if want == nil {
				continue
			}
			if response, _ := r.do("GET", path, ""); !slices.Equal(response.Header["Link"], origin(want)) {
				t.Errorf("%d %s: Link = %q, want %q", i, path, response.Header["Link"], origin(want))
			}
		}
	}
}
