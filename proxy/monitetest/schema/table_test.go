package schema

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(packed); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTableIsSmallAndWhole(t *testing.T) {
	if got := len(packed); got > 400<<10 {
		t.Errorf("compiled-in table = %d bytes, want at most 400 KiB", got)
	}
	table := Published()
	if len(table.Operations) != 386 || table.Version != "2024-05-25" {
		t.Errorf("table = %d operations of %s", len(table.Operations), table.Version)
	}
	for _, bad := range [][]byte{nil, []byte("x"), packed[:len(packed)/2]} {
		if _, err := Load(bad); err == nil {
			t.Errorf("Load of %d bytes has no error", len(bad))
		}
	}
}

func operation(t *testing.T, method, template string) *Operation {
	t.Helper()
	for i, op := range Published().Operations {
		if op.Method == method && op.Template == template {
			return &Published().Operations[i]
		}
	}
	t.Fatalf("there is no %s %s", method, template)
	return nil
}

func TestJudgeNamesThePlace(t *testing.T) {
	tests := []struct{ name, method, template, body, loc, kind string }{
		{"missing", "POST", "/v1/products", `{}`, `["body","name"]`, "value_error.missing"},
		{"extra", "POST", "/v1/products", `{"name":"x","prize":1}`, `["body","prize"]`, "value_error.extra"},
		{"null", "POST", "/v1/products", `{"name":null}`, `["body","name"]`, "type_error.none.not_allowed"},
		{"type", "POST", "/v1/products", `{"name":7}`, `["body","name"]`, "type_error.str"},
		{"too long", "POST", "/v1/tags", `{"name":"` + longText + `"}`, `["body","name"]`, "value_error.any_str.max_length"},
		{"too short", "POST", "/v1/tags", `{"name":""}`, `["body","name"]`, "value_error.any_str.min_length"},
		{"enum", "POST", "/v1/tags", `{"name":"x","category":"y"}`, `["body","category"]`, "type_error.enum"},
		{"nested", "POST", "/v1/products", `{"name":"x","price":{"currency":"EUR","value":1.5}}`, `["body","price","value"]`, "type_error.integer"},
		{"limit", "POST", "/v1/products", `{"name":"x","price":{"currency":"EUR","value":-1}}`, `["body","price","value"]`, "value_error.number.not_ge"},
		{"item", "POST", "/v1/payables", `{"tag_ids":["seven"]}`, `["body","tag_ids",0]`, "type_error.uuid"},
		{"date", "POST", "/v1/payables", `{"due_date":"31.01.2027"}`, `["body","due_date"]`, "value_error.date"},
		{"not an object", "POST", "/v1/payables", `[]`, `["body"]`, "type_error.dict"},
		{"the alternative that was meant", "POST", "/v1/counterparts", `{"type":"individual","individual":{}}`,
			`["body","individual","first_name"]`, "value_error.missing"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			value, err := Decode([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range operation(t, tc.method, tc.template).Body.Judge(value, "body") {
				if loc, _ := json.Marshal(p.Loc); string(loc) == tc.loc && p.Type == tc.kind {
					return
				}
			}
			t.Errorf("problems = %v, want %s at %s", operation(t, tc.method, tc.template).Body.Judge(value, "body"), tc.kind, tc.loc)
		})
	}
}

var longText = strings.Repeat("x", 256)

func TestJudgeTakesWhatIsPublished(t *testing.T) {
	for _, body := range []string{
		`{}`, `{"total_amount":100}`, `{"total_amount":1e2}`, `{"due_date":"2027-01-31","sender":"a@b.example"}`, `{"partner_metadata":{"any":["thing"]}}`,
	} {
		value, err := Decode([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if problems := operation(t, "POST", "/v1/payables").Body.Judge(value, "body"); len(problems) > 0 {
			t.Errorf("%s: %v", body, problems)
		}
	}
}

func TestJudgeQueryReadsTypes(t *testing.T) {
	op := operation(t, "GET", "/v1/payables")
	values, problems := op.JudgeQuery(url.Values{
		"limit": {"5"}, "status__in": {"new", "paid"}, "has_tags": {"true"}, "created_at__gt": {"2026-01-01"}, "unknown": {"1"}, "total_amount": {"12"},
	})
	want := Doc{"limit": 5, "status__in": []any{"new", "paid"}, "has_tags": true, "created_at__gt": "2026-01-01T00:00:00+00:00", "total_amount": 12}
	if len(problems) > 0 || !reflect.DeepEqual(values, want) {
		t.Errorf("= %v, %v, want %v", values, problems, want)
	}
	for name, value := range map[string]string{"limit": "many", "status": "nearly", "has_tags": "maybe", "created_at__gt": "soon", "sort": "colour"} {
		if _, problems := op.JudgeQuery(url.Values{name: {value}}); len(problems) != 1 || problems[0].Loc[1] != name {
			t.Errorf("%s=%s: %v, want one problem", name, value, problems)
		}
	}
	if _, problems := operation(t, "GET", "/v1/comments").JudgeQuery(nil); len(problems) != 2 {
		t.Errorf("missing parameters = %v, want two", problems)
	}
}

// Whatever a response is made of, it fits.
func TestEverySchemaCanBeFilled(t *testing.T) {
	for _, full := range []bool{false, true} {
		for _, op := range Published().Operations {
			if op.Response == nil {
				continue
			}
			m := &Maker{Now: time.Unix(1.8e9, 0), Seed: op.Template, Full: full}
			made := m.Fill(op.Response)
			if problems := op.Response.Judge(made); len(problems) > 0 {
				t.Errorf("%s %s, full %v: %v", op.Method, op.Template, full, problems)
			}
			if again, ok := m.Project(op.Response, made); !ok || len(op.Response.Judge(again)) > 0 {
				t.Errorf("%s %s does not survive its own projection", op.Method, op.Template)
			}
		}
	}
}

func TestProjectKeepsWhatFits(t *testing.T) {
	s := operation(t, "GET", "/v1/payables/{payable_id}").Response
	m := &Maker{Now: time.Unix(1.8e9, 0), Seed: "x"}
	made, ok := m.Project(s, Doc{"description": "flour", "due_date": "2027-01-31T10:00:00Z", "total_amount": "many", "file_id": nil, "internal": 1})
	d, _ := made.(Doc)
	if !ok || d["description"] != "flour" || d["due_date"] != "2027-01-31" {
		t.Errorf("= %v", made)
	}
	for _, name := range []string{"total_amount", "file_id", "internal"} {
		if _, is := d[name]; is {
			t.Errorf("%s = %v, want it left out", name, d[name])
		}
	}
	if problems := s.Judge(made); len(problems) > 0 {
		t.Errorf("problems = %v", problems)
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(`{"type":"invoice","line_items":[{"quantity":1,"product_id":"x"}]}`)
	f.Add(`{"type":"quote","line_items":[]}`)
	f.Add(`[[[null]]]`)
	f.Fuzz(func(t *testing.T, body string) {
		value, err := Decode([]byte(body))
		if err != nil {
			return
		}
		for _, op := range []*Operation{operation(t, "POST", "/v1/receivables"), operation(t, "POST", "/v1/counterparts")} {
			for _, p := range op.Body.Judge(value, "body") {
				if len(p.Loc) == 0 || p.Loc[0] != "body" || p.Msg == "" || p.Type == "" {
					t.Errorf("problem = %+v", p)
				}
			}
		}
	})
}
