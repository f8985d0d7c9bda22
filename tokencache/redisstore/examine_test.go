package redisstore

import (
	"testing"
	"time"
)

func TestExaminationFindsWhatIsThere(t *testing.T) {
	socket := realServer(t)
	on := direct(t, socket)
	s := storeOn(t, "unix:"+socket)
	x := s.Examine(t.Context(), partner)
	if x.Err != nil || x.Entry != "none" || x.Policy != "noeviction" || x.RoundTrip <= 0 || x.Offset < -time.Second || x.Offset > time.Second {
		t.Errorf("an empty server: %+v", x)
	}
	if n := do(t, on, "DBSIZE").(int64); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	share(t, s, "token")
	if x := s.Examine(t.Context(), partner); x.Entry != "found" || x.Age > time.Minute {
		t.Errorf("with a token: %+v", x)
	}
	key := s.rings.of(creds).keys(partner).token
	do(t, on, "SET", key, "junk", "PX", 60000)
	if x := s.Examine(t.Context(), partner); x.Entry != "foreign" {
		t.Errorf("with junk: %+v", x)
	}
	if do(t, on, "EXISTS", key).(int64) != 1 {
		t.Error("it has removed what it found")
	}
	do(t, on, "ACL", "SETUSER", "u", "on", ">p", "~monite-proxy:*", "resetchannels", "-@all", "+ping", "+evalsha", "+eval", "+time", "+get")
	do(t, on, "CONFIG", "SET", "requirepass", "x")
	if x := storeOn(t, "unix:"+socket).Examine(t.Context(), partner); kindOf(x.Err) != "NOAUTH" {
		t.Errorf("without a password: %v", x.Err)
	}
}
