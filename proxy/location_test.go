package proxy

import (
	"net/http"
	"net/url"
	"reflect"
	"testing"
)

func TestOwnLocation(t *testing.T) {
	h := &Handler{config: Config{Origin: &url.URL{Scheme: "https", Host: "api.monite.com"}}}
	for _, c := range [][2]string{
		{"https://api.monite.com/v1/x", "/v1/x"}, {"http://api.monite.com/v1/x?a=%zz;b#c", "/v1/x?a=%zz;b#c"}, {"https://API.Monite.com/v1/x", "/v1/x"}, {"https://api.monite.com:443/v1/x", "/v1/x"}, {"//api.monite.com/v1/x", "/v1/x"},
		{"https://user:pw@api.monite.com/v1/x", "/v1/x"}, {"https://api.monite.com", "/"}, {"https://api.monite.com/", "/"}, {"https://api.monite.com?a=b", "/?a=b"}, {"https://api.monite.com#x", "/#x"},
		{"https://api.monite.com//evil.example/x", "/evil.example/x"}, {"https://api.monite.com///evil.example", "/evil.example"}, {"https://api.monite.com/%2fevil", "/%2fevil"},
		{`https://api.monite.com/\evil.example`, "/evil.example"}, {`https://api.monite.com/\/evil.example`, "/evil.example"}, {"https://api.monite.com/v1//x", "/v1//x"},
		{"/v1/x", "/v1/x"}, {"x/y", "x/y"}, {"?a=b", "?a=b"}, {"", ""}, {"https://evil.example/v1/x", "https://evil.example/v1/x"}, {"https://api.monite.com.evil.example/", "https://api.monite.com.evil.example/"},
		{"https://api.monite.com@evil.example/", "https://api.monite.com@evil.example/"}, {"https://evil.example/https://api.monite.com/", "https://evil.example/https://api.monite.com/"}, {"https://xapi.monite.com/", "https://xapi.monite.com/"},
		{"mailto:a@api.monite.com", "mailto:a@api.monite.com"}, {"https://files.monite.com/f.pdf?sig=1", "https://files.monite.com/f.pdf?sig=1"}, {"https://api.monite.com/%zz", "https://api.monite.com/%zz"}, {"http://[::1", "http://[::1"},
	} {
		if got := h.ownLocation(c[0]); got != c[1] {
			t.Errorf("ownLocation(%q) = %q, want %q", c[0], got, c[1])
		}
	}
}

func TestConnectionFieldsOfTheAnswer(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   map[string]bool
	}{
		{nil, nil}, {[]string{"close"}, nil}, {[]string{""}, nil}, {[]string{"keep-alive, X-Internal"}, map[string]bool{"Keep-Alive": true, "X-Internal": true}},
		{[]string{"x-a", " x-b ,\tX-C"}, map[string]bool{"X-A": true, "X-B": true, "X-C": true}}, {[]string{"content-length, content-type, Content-Encoding, close"}, nil},
	} {
		if got := connectionFields(c.values); !reflect.DeepEqual(got, c.want) {
			t.Errorf("connectionFields(%q) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestFieldsOfTheAnswerThatEndHere(t *testing.T) {
	for name, want := range map[string]bool{
		"Set-Cookie": true, "Set-Cookie2": true, "Alt-Svc": true, "Strict-Transport-Security": true, "Public-Key-Pins": true, "Clear-Site-Data": true, "Nel": true, "Report-To": true, "Reporting-Endpoints": true, "Refresh": true,
		"Access-Control-Allow-Origin": true, "Access-Control-Allow-Private-Network": true, "Proxy-Status": true, "Proxy-Authenticate": true, "Connection": true, "Keep-Alive": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
		"X-Monite-Proxy-Outcome": true, "X-Monite-Proxy-Anything": true, "X-Request-Id": true,
		"Content-Type": false, "Content-Length": false, "Content-Encoding": false, "Etag": false, "Retry-After": false, "Www-Authenticate": false, "X-Monite-Version": false, "Ratelimit-Limit": false, "Link": false, "Location": false, "Cache-Control": false, "Vary": false, "Date": false, "Content-Disposition": false,
	} {
		if got := keptHere(http.CanonicalHeaderKey(name)); got != want {
			t.Errorf("keptHere(%s) = %v, want %v", name, got, want)
		}
	}
}
