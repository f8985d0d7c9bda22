package schema

import "testing"

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(packed); err != nil {
			b.Fatal(err)
		}
	}
}
