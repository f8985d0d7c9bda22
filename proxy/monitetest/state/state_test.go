package state_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

func rows(docs ...state.Doc) []*state.Row {
	var c state.Collection
	for i, d := range docs {
		d["id"] = fmt.Sprint(i)
		c.Add(d)
	}
	return c.Rows()
}

func TestFilterOperators(t *testing.T) {
	tests := []struct {
		name   string
		values []string
		have   any
		want   bool
	}{
		{"status", []string{"paid"}, "paid", true},
		{"status", []string{"paid"}, nil, false},
		{"status__in", []string{"new", "paid"}, "paid", true},
		{"status__not_in", []string{"new", "paid"}, "paid", false},
		{"status__not_in", []string{"new"}, nil, true},
		{"amount__gt", []string{"9"}, 10, true},
		{"amount__gte", []string{"10"}, 10, true},
		{"amount__lt", []string{"10"}, 10, false},
		{"amount__lte", []string{"10.5"}, 10.5, true},
		{"amount__gt", []string{"0"}, nil, false},
		{"name__contains", []string{"Mul"}, "Mulino", true},
		{"name__contains", []string{"mul"}, "Mulino", false},
		{"name__icontains", []string{"LINO"}, "Mulino", true},
		{"name__iexact", []string{"MULINO"}, "Mulino", true},
		{"name__ncontains", []string{"Mul"}, "Mulino", false},
		{"name__startswith", []string{"Mu"}, "Mulino", true},
		{"name__istartswith", []string{"mU"}, "Mulino", true},
		{"is_vendor", []string{"true"}, true, true},
		{"created_at__gt", []string{"2026-01-01"}, "2026-01-01T00:00:01+00:00", true},
		{"created_at__lte", []string{"2026-01-01T02:00:00+02:00"}, "2026-01-01T00:00:00.000000+00:00", true},
		{"created_at", []string{"2026-01-01T00:00:00Z"}, "2026-01-01T00:00:00.000000+00:00", true},
		{"an__odd__name", []string{"x"}, "x", true},
	}
	for _, tc := range tests {
		if got := state.ParseFilter(tc.name, tc.values...).Matches(tc.have); got != tc.want {
			t.Errorf("%s=%v on %v = %v, want %v", tc.name, tc.values, tc.have, got, tc.want)
		}
	}
}

func TestSortPutsEqualRowsInTheOrderOfTheirMaking(t *testing.T) {
	all := rows(state.Doc{"n": "b"}, state.Doc{"n": nil}, state.Doc{"n": "A"}, state.Doc{"n": "b"})
	field := func(d state.Doc) any { return d["n"] }
	order := func(sorted []*state.Row) (out []int) {
		for _, r := range sorted {
			out = append(out, r.Number)
		}
		return out
	}
	if got := order(state.Sort(all, field, false)); !slices.Equal(got, []int{1, 2, 0, 3}) {
		t.Errorf("ascending = %v", got)
	}
	if got := order(state.Sort(all, field, true)); !slices.Equal(got, []int{3, 0, 2, 1}) {
		t.Errorf("descending = %v", got)
	}
	numbers := rows(state.Doc{"n": 9}, state.Doc{"n": 10}, state.Doc{"n": 9.5})
	if got := order(state.Sort(numbers, field, false)); !slices.Equal(got, []int{0, 2, 1}) {
		t.Errorf("numbers = %v", got)
	}
}

func TestRefusedUpdateLeavesTheDocument(t *testing.T) {
	var c state.Collection
	c.Add(state.Doc{"id": "a", "n": 1})
	refused := errors.New("no")
	if _, err := c.Update("a", func(d state.Doc) error { d["n"] = 2; return refused }); !errors.Is(err, refused) || c.Get("a")["n"] != 1 {
		t.Errorf("err = %v, document = %v", err, c.Get("a"))
	}
	if d, err := c.Update("b", func(state.Doc) error { return nil }); d != nil || err != nil {
		t.Errorf("unknown = %v, %v", d, err)
	}
	if _, err := c.Remove("a", func(state.Doc) error { return refused }); !errors.Is(err, refused) || c.Get("a") == nil {
		t.Errorf("err = %v, document = %v", err, c.Get("a"))
	}
}

// Of many that add the same at once, one does.
func TestAddUnlessIsOneStep(t *testing.T) {
	var c state.Collection
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			c.AddUnless(state.Doc{"id": fmt.Sprint(i), "name": "x"}, func(other state.Doc) bool { return other["name"] == "x" })
		})
	}
	wg.Wait()
	if got := len(c.Rows()); got != 1 {
		t.Errorf("documents = %d, want 1", got)
	}
}

func TestCloneChangesApart(t *testing.T) {
	s := &state.Store{Seed: func(k state.Key) []state.Doc { return []state.Doc{{"id": k.Path}} }}
	s.At("e", "tags").Add(state.Doc{"id": "mine"})
	twin := s.Clone()
	_, _ = s.At("e", "tags").Remove("mine", nil)
	twin.At("e", "tags").Add(state.Doc{"id": "more"})
	if a, b := len(s.At("e", "tags").Rows()), len(twin.At("e", "tags").Rows()); a != 1 || b != 3 {
		t.Errorf("documents = %d and %d, want 1 and 3", a, b)
	}
	if got := twin.At("e", "other").Get("other"); got == nil {
		t.Error("the copy has lost its seeds")
	}
	if !s.Has("e", "tags") || s.Has("e", "unused") {
		t.Error("Has does not tell a used collection from an unused one")
	}
}

func TestTokensOfPagesAreChecked(t *testing.T) {
	from := 3
	page := state.Page{Limit: 2, Query: "q"}
	if got, err := state.ParseToken(page.Token(from)); err != nil || *got.From != from || got.Limit != 2 || got.Query != "q" {
		t.Errorf("= %+v, %v", got, err)
	}
	for _, bad := range []string{"", "junk", "e30", "!!"} {
		if _, err := state.ParseToken(bad); err == nil {
			t.Errorf("ParseToken(%q) has no error", bad)
		}
	}
}

func FuzzPageToken(f *testing.F) {
	f.Add(state.Page{Limit: 1}.Token(0))
	f.Add("junk")
	f.Fuzz(func(t *testing.T, token string) {
		page, err := state.ParseToken(token)
		if err != nil {
			return
		}
		all := rows(state.Doc{}, state.Doc{}, state.Doc{})
		if cut, _, _ := page.Cut(all, false); len(cut) > page.Limit {
			t.Errorf("page = %d rows, want at most %d", len(cut), page.Limit)
		}
	})
}
