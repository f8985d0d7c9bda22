package secret_test

import (
	"bytes"
	"testing"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

func TestKeyDependsOnSecretAndUse(t *testing.T) {
	one := secret.New("a-secret")
	key := one.Key("use 1")
	if key != secret.New("a-secret").Key("use 1") {
		t.Error("the same secret and use give two keys")
	}
	for name, other := range map[string][32]byte{"another use": one.Key("use 2"), "another secret": secret.New("b-secret").Key("use 1"),
		"no secret": secret.String{}.Key("use 1")} {
		if key == other {
			t.Errorf("%s gives the same key", name)
		}
	}
	if bytes.Contains(key[:], []byte("a-secret")) {
		t.Error("the key holds the secret")
	}
}
