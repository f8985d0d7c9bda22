package monitetest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// What a test pays for a simulator of its own. The table of the document is
// read once per process (schema's BenchmarkLoad).
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		monitetest.New(monitetest.Config{})
	}
}

// Requests without a socket; b.N per second is for one core.
func BenchmarkServe(b *testing.B) {
	const invoice = "/v1/receivables/" + monitetest.DemoReceivableID
	requests := []struct{ name, method, target, body string }{
		{"one payable", "GET", "/v1/payables/" + monitetest.DemoPayableID, ""},
		{"list of payables", "GET", "/v1/payables", ""},
		{"filtered list", "GET", "/v1/payables?status__in=new&status__in=paid&sort=due_date&order=desc&limit=5", ""},
		{"create a counterpart", "POST", "/v1/counterparts",
			`{"type":"organization","organization":{"legal_name":"New","is_vendor":true,"is_customer":false,"address":{"line1":"1","city":"Lyon","postal_code":"69001","country":"FR"}}}`},
		{"change an invoice", "PATCH", invoice, `{"invoice":{"memo":"Thank you"}}`},
		{"refuse a body", "POST", "/v1/products", `{"name":7}`},
	}
	for _, r := range requests {
		b.Run(r.name, func(b *testing.B) {
			m := inMemory{monitetest.New(monitetest.Config{})}
			token := m.mint(mintBody(""))
			for b.Loop() {
				in := httptest.NewRequest(r.method, r.target, strings.NewReader(r.body))
				in.Header = http.Header{
					"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"},
					"X-Monite-Version": {"2024-05-25"}, "X-Monite-Entity-Id": {monitetest.DemoEntityID},
				}
				m.sim.ServeHTTP(httptest.NewRecorder(), in)
			}
		})
	}
}
