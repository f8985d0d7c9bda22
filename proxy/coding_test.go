package proxy

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

func TestAcceptEncodingIsNarrowedToWhatWeUnpack(t *testing.T) {
	for _, row := range []struct{ given, want string }{
		{"gzip", "gzip"}, {"gzip, deflate", "gzip, deflate"}, {"identity", "identity"}, {"", ""}, {"gzip;q=0.5, identity;q=0", "gzip;q=0.5, identity;q=0"},
		{"gzip, deflate, br", "gzip, deflate"}, {"br, gzip, deflate", "gzip, deflate"}, {"gzip, compress, deflate, br", "gzip, deflate"}, {"gzip, deflate, br, zstd", "gzip, deflate"},
		{"br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip;q=0.8, deflate;q=0.1"}, {"*", "gzip, deflate"}, {"*;q=0.5", "gzip;q=0.5, deflate;q=0.5"}, {"gzip;q=0, *", "gzip;q=0, deflate"},
		{"br", "identity"}, {"zstd, br", "identity"}, {"BR, GZip", "GZip"}, {"br;q=0, gzip", "gzip"}, {"br, gzip;q=0", "gzip;q=0, identity"}, {"x-gzip, br", "x-gzip"},
		{"br, *;q=0", "br, *;q=0"}, {"br, identity;q=0", "br, identity;q=0"}, {"zstd, identity;q=0.0, br", "zstd, identity;q=0.0, br"}, {"br, gzip, *;q=0", "gzip, *;q=0"},
		{"br, identity", "identity"}, {"dcb, dcz, gzip", "gzip"}, {" br , gzip ; q=1 ", "gzip ; q=1"}, {"made-up", "identity"},
	} {
		if got := narrowedCodings(row.given); got != row.want {
			t.Errorf("narrowedCodings(%q) = %q, want %q", row.given, got, row.want)
		}
	}
}

// What is sent upstream is what the app sent, less what we cannot unpack; and a token
// that is too old is recognised, whatever the app can unpack.
func TestOldTokenIsRecognisedWhateverTheAppCanUnpack(t *testing.T) {
	for _, row := range []struct{ given, want string }{
		{"gzip, deflate, br", "gzip, deflate"}, {"br", "identity"}, {"gzip", "gzip"}, {"gzip, compress, deflate, br", "gzip, deflate"}, {"*", "gzip, deflate"},
	} {
		var got atomic.Pointer[http.Header]
		o := wiretest.Listen(t, nil, func(p *wiretest.Peer) {
			for {
				in, _, err := p.Request()
				if err != nil {
					return
				}
				got.Store(&in.Header)
				switch {
				case !strings.Contains(in.Header.Get("Authorization"), firstToken):
					p.Say(okEmpty)
				case strings.Contains(in.Header.Get("Accept-Encoding"), "br"):
					p.Say("HTTP/1.1 400 X\r\nContent-Type: application/json\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\n\x0b\x01\x80")
				default:
					p.Say(answer(400, "application/json", expiredText))
				}
			}
		})
		r := newRig(t, o.URL)
		for range 2 {
			a := r.dial()
			a.Say(get("/v1/x", "Accept-Encoding: "+row.given))
			a.WantStatus("GET", http.StatusOK)
			if values := (*got.Load())["Accept-Encoding"]; len(values) != 1 || values[0] != row.want {
				t.Errorf("%q goes upstream as %q", row.given, values)
			}
		}
	}
}
