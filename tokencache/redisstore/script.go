package redisstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // EVALSHA names scripts by it; nothing is secured by it
	_ "embed"
	"encoding/hex"
)

// script is one of lua/*.lua. It needs nothing installed: it is called by its hash,
// and sent whole where the server does not know it.
type script struct {
	name string
	text string
	hash string
	// mostBulk is the longest value that it returns, in bytes. 0: maxBulk.
	mostBulk int
}

func newScript(name, text string) *script {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // as above
	return &script{name: name, text: text, hash: hex.EncodeToString(sum[:])}
}

var (
	//go:embed lua/ask.lua
	askText string
	//go:embed lua/tell.lua
	tellText string
	//go:embed lua/failed.lua
	failedText string

	askScript    = newScript("ask", askText)
	tellScript   = newScript("tell", tellText)
	failedScript = newScript("failed", failedText)
)

// server runs scripts. Its replies are []byte, string, int64 or []any of these; its
// errors are *Error, context.DeadlineExceeded or context.Canceled.
type server interface {
	run(ctx context.Context, s *script, keys []string, args ...any) (any, error)
}
