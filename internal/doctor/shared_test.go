package doctor

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/redisstore"
)

// realStore starts a redis-server, or what REDIS_SERVER names, and ends it with the test.
func realStore(t *testing.T) (address string, admin redis.Conn) {
	t.Helper()
	program := wiretest.RedisProgram(t)
	address = wiretest.Nobody(t)
	_, port, _ := net.SplitHostPort(address)
	command := exec.Command(program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	var err error
	for range 200 {
		if admin, err = redis.Dial("tcp", address); err == nil {
			t.Cleanup(func() { _ = admin.Close() })
			return address, admin
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // until a process listens
	}
	t.Fatal(err)
	return "", nil
}

type demoPair struct{}

func (demoPair) Pair() (id, clientSecret secret.String) {
	return secret.New("client"), secret.New("a-secret-of-some-length")
}

// examineStore is the part of the report that is about the store.
func examineStore(t *testing.T, address, user, password string, change ...func(*redisstore.Config)) Report {
	t.Helper()
	settings := &config.Config{GrantType: "client_credentials", Redis: &config.Redis{Network: "tcp", Addresses: []string{address}, Timeout: time.Second}}
	c := redisstore.Config{
		Addresses: []string{address}, User: user, Password: func() secret.String { return secret.New(password) }, Origin: "https://upstream", Credentials: demoPair{},
	}
	for _, c1 := range change {
		c1(&c)
	}
	e := &examination{Config: Config{Store: redisstore.New(c)}, cfg: settings}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // where nothing responds
	defer cancel()
	e.checkShared(ctx)
	return e.report
}

// The steps of a store that works, and what each trouble of a real one is called.
func TestStoreIsExaminedStepByStep(t *testing.T) {
	const allRights = "+@all"
	for name, tc := range map[string]struct {
		commands []string // of an administrator, beforehand
		user     string
		tls      bool
		step     string // that is not ok; empty: all are
		says     string
	}{
		"as it should be":   {},
		"with least rights": {commands: []string{"ACL SETUSER u on >pw " + aclLine}, user: "u", step: "shared eviction", says: "is not known"},
		"no password":       {commands: []string{"CONFIG SET requirepass other"}, step: "shared login", says: "NOAUTH"},
		"wrong password":    {commands: []string{"ACL SETUSER u on >other ~* " + allRights}, user: "u", step: "shared login", says: "WRONGPASS"},
		"no right to write": {commands: []string{"ACL SETUSER u on >pw ~* " + allRights + " -set"}, user: "u", step: "shared rights", says: "ACL SETUSER"},
		"no right to our keys": {
			commands: []string{"ACL SETUSER u on >pw ~other:* " + allRights}, user: "u", step: "shared rights", says: "ACL SETUSER",
		},
		"a replica": {commands: []string{"REPLICAOF 127.0.0.1 1"}, step: "shared rights", says: "READONLY"},
		"full":      {commands: []string{"CONFIG SET maxmemory 1"}, step: "shared rights", says: "raise maxmemory"},
		"evicts":    {commands: []string{"CONFIG SET maxmemory-policy allkeys-lru"}, step: "shared eviction", says: "may be sent again"},
		"evicts what ends first": {
			commands: []string{"CONFIG SET maxmemory-policy volatile-ttl"}, step: "shared eviction", says: "may be sent again",
		},
		"no TLS": {tls: true, step: "shared address", says: "rediss://"},
		"something else under our key": {
			commands: []string{"JUNK"}, step: "shared entries", says: "restrict",
		},
	} {
		t.Run(name, func(t *testing.T) {
			address, admin := realStore(t)
			for _, line := range tc.commands {
				if line == "JUNK" {
					plantJunk(t, address, admin)
					continue
				}
				words := strings.Fields(line)
				var args []any
				for _, word := range words[1:] {
					args = append(args, word)
				}
				if _, err := admin.Do(words[0], args...); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
			password := map[bool]string{true: "pw"}[tc.user != ""]
			report := examineStore(t, address, tc.user, password, func(c *redisstore.Config) { c.TLS = tc.tls })
			seen := map[string]bool{}
			for _, f := range report.Findings {
				seen[f.Step] = true
				if (f.Result != fine) != (f.Step == tc.step) {
					t.Errorf("%s is %s: %+v", f.Step, f.Result, f)
				}
				if f.Step == tc.step && (!strings.Contains(f.What+f.Why+f.Next, tc.says) || f.Next == "") {
					t.Errorf("%+v, want it to say %q and what to do", f, tc.says)
				}
			}
			steps := []string{"shared store", "shared speed", "shared clock", "shared eviction", "shared entries"}
			if tc.step != "" {
				steps = []string{tc.step}
			}
			for _, step := range steps {
				if !seen[step] {
					t.Errorf("there is no step %q in %+v", step, report.Findings)
				}
			}
			if strings.Contains(report.Text(), "pw") || strings.Contains(report.Text(), "a-secret") {
				t.Errorf("a secret stands in the report: %s", report.Text())
			}
		})
	}
}

// plantJunk puts something under the key of the default grant's token, as another program
// might.
func plantJunk(t *testing.T, address string, admin redis.Conn) {
	t.Helper()
	s := redisstore.New(redisstore.Config{Addresses: []string{address}, Origin: "https://upstream", Credentials: demoPair{}})
	grant := tokencache.Grant{Type: tokencache.ClientCredentials}
	a, err := s.Ask(t.Context(), tokencache.Question{Grant: grant, Lease: time.Second, Share: 1})
	if err != nil || a.Kind != tokencache.Claimed {
		t.Fatalf("%+v, %v", a, err)
	}
	keys, err := redis.Strings(admin.Do("KEYS", "*:l:*"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	if _, err := admin.Do("SET", strings.Replace(keys[0], ":l:", ":t:", 1), "junk", "PX", 60000); err != nil {
		t.Fatal(err)
	}
}
