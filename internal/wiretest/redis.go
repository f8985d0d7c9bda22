package wiretest

import (
	"cmp"
	"os"
	"os/exec"
	"testing"
)

// RedisProgram returns the path of redis-server, and skips the test where it is not
// installed. REDIS_SERVER names another one that takes the same options, such as
// valkey-server; that one must be installed.
func RedisProgram(t testing.TB) string {
	t.Helper()
	named := os.Getenv("REDIS_SERVER")
	program, err := exec.LookPath(cmp.Or(named, "redis-server"))
	if err != nil && named == "" {
		t.Skip("redis-server is not installed (apt-get install redis-server)")
	}
	Must(t, err)
	return program
}
