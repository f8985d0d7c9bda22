package config

import "testing"

func TestProductionIsWhereMoneyMoves(t *testing.T) {
	for environment, want := range map[string]bool{"sandbox": false, "eu": true, "us": true, "custom": false} {
		if got := (&Config{Environment: environment}).Production(); got != want {
			t.Errorf("%s: production = %t, want %t", environment, got, want)
		}
	}
}
