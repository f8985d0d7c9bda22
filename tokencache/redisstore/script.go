package redisstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // EVALSHA names scripts by it; nothing is secured by it
	"embed"
	"encoding/hex"
)

//go:embed lua/*.lua
var texts embed.FS

// script is one of lua/*.lua. It needs nothing installed: it is called by its hash,
// and sent whole where the server does not know it.
type script struct {
	name string
	text string
	hash string
	// mostBulk is the longest value that it returns, in bytes.
	mostBulk int
}

func newScript(name string, mostBulk int) *script {
	text, err := texts.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic("redisstore: " + err.Error())
	}
	sum := sha1.Sum(text) //nolint:gosec // the server's own name for it
	return &script{name: name, text: string(text), hash: hex.EncodeToString(sum[:]), mostBulk: mostBulk}
}

var (
	askScript    = newScript("ask", maxBulk)
	tellScript   = newScript("tell", maxBulk)
	failedScript = newScript("failed", maxBulk)
	claimScript  = newScript("claim", maxRecord)
	settleScript = newScript("settle", maxBulk)
	lookScript   = newScript("look", maxRecord)
	probeScript  = newScript("probe", maxBulk)
	paceScript   = newScript("pace", maxBulk)
)

// server runs scripts. Its replies are []byte, string, int64 or []any of these; its
// errors are *Error, context.DeadlineExceeded or context.Canceled.
type server interface {
	run(ctx context.Context, s *script, keys []string, args ...any) (any, error)
}
