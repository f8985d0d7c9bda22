package monitetest_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestPagingWalksBothWays(t *testing.T) {
	for _, order := range []string{"asc", "desc"} {
		t.Run(order, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			header := b.as("", monitetest.DemoEntityID)
			all := ids(b.want(200, "GET", "/v1/payables?order="+order, "", header).data(t))
			var seen []string
			target, last := "/v1/payables?limit=5&order="+order, map[string]any{}
			for range 10 {
				answer := b.want(200, "GET", target, "", header)
				seen, last = append(seen, ids(answer.data(t))...), answer.json(t)
				next, _ := last["next_pagination_token"].(string)
				if next == "" {
					break
				}
				target = "/v1/payables?pagination_token=" + url.QueryEscape(next)
			}
			if fmt.Sprint(seen) != fmt.Sprint(all) || len(all) != 16 {
				t.Errorf("pages give %v, want %v", seen, all)
			}
			previous, _ := last["prev_pagination_token"].(string)
			back := ids(b.want(200, "GET", "/v1/payables?pagination_token="+previous, "", header).data(t))
			if fmt.Sprint(back) != fmt.Sprint(all[10:15]) {
				t.Errorf("page before the last = %v, want %v", back, all[10:15])
			}
		})
	}
}

// A page begins where the last one ended, also when that document was changed
// or removed in between.
func TestPagingSurvivesChanges(t *testing.T) {
	for _, change := range []string{"PATCH", "DELETE"} {
		t.Run(change, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			header := b.as("", monitetest.DemoEntityID)
			all := ids(b.want(200, "GET", "/v1/counterparts", "", header).data(t))
			next := b.want(200, "GET", "/v1/counterparts?limit=2", "", header).json(t)["next_pagination_token"].(string)
			id, want := all[0], all[2:4]
			if change == "DELETE" {
				id, want = all[2], all[3:4] // the one that the page begins with
			}
			if answer := b.do(change, "/v1/counterparts/"+id, map[string]string{"PATCH": `{"organization":{},"tax_id":"1"}`}[change],
				header); answer.status/100 != 2 {
				t.Fatalf("%s = %v", change, answer)
			}
			if got := ids(b.want(200, "GET", "/v1/counterparts?pagination_token="+next, "", header).data(t)); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("second page = %v, want %v", got, want)
			}
		})
	}
}

func ids(docs []map[string]any) (out []string) {
	for _, d := range docs {
		out = append(out, d["id"].(string))
	}
	return out
}

func TestListParameters(t *testing.T) {
	tests := []struct {
		query  string
		status int
		count  int
	}{
		{"limit=1", 200, 1},
		{"limit=0", 422, 0},
		{"limit=101", 422, 0},
		{"limit=many", 422, 0},
		{"order=random", 422, 0},
		{"pagination_token=junk", 400, 0},
		{"status=paid", 200, 4},
		{"status__in=paid&status__in=new", 200, 7},
		{"id__in=" + monitetest.DemoPayableID, 200, 1},
		{"total_amount__gte=0", 200, 16},
		{"total_amount__gte=100000000", 200, 0},
		{"created_at__lt=2000-01-01", 200, 0},
		{"document_id__icontains=-11", 200, 15},
		{"search_text=FLOUR", 200, 3},
		{"counterpart_name=Mulino+Rossi+S.p.A.", 200, 8},
		{"counterpart_name__icontains=mulino", 200, 8},
		{"amount__gte=0", 200, 16},
		{"amount__lt=0", 200, 0},
		{"sort=nothing", 422, 0},
		{"an_unknown_parameter=1", 200, 16},
		{"sim_nonce=1", 200, 16},
	}
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	for _, tc := range tests {
		t.Run(tc.query, func(t *testing.T) {
			answer := b.want(tc.status, "GET", "/v1/payables?"+tc.query, "", header)
			if tc.status == 200 && len(answer.data(t)) != tc.count {
				t.Errorf("count = %d, want %d", len(answer.data(t)), tc.count)
			}
		})
	}
}
