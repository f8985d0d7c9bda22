package target

import "testing"

func TestNameForWhichSomeUpstreamTakesAField(t *testing.T) {
	for name, want := range map[string]string{
		"X-Monite-Entity-Id": "", "Accept": "", "x-custom": "", "A1": "", "": "",
		"X_monite_entity_id": "X-Monite-Entity-Id", "X.Monite.Entity.Id": "X-Monite-Entity-Id", "X-Monite-Entity-Id-": "X-Monite-Entity-Id",
		"X~monite~entity~id": "X-Monite-Entity-Id", "X-Custom--": "X-Custom", "Authorization_": "Authorization", "\u212aey": "-Ey",
	} {
		plain, twin := FieldName(name)
		if want == "" && (plain != name || twin) || want != "" && (plain != want || !twin) {
			t.Errorf("FieldName(%q) = %q, %v, want %q", name, plain, twin, want)
		}
	}
}
