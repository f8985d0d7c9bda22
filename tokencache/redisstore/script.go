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

// returning says how long the longest value is that it returns.
func (s *script) returning(mostBulk int) *script {
	s.mostBulk = mostBulk
	return s
}

var (
	//go:embed lua/ask.lua
	askText string
	//go:embed lua/tell.lua
	tellText string
	//go:embed lua/failed.lua
	failedText string
	//go:embed lua/claim.lua
	claimText string
	//go:embed lua/settle.lua
	settleText string
	//go:embed lua/look.lua
	lookText string
	//go:embed lua/probe.lua
	probeText string
	//go:embed lua/pace.lua
	paceText string

	askScript    = newScript("ask", askText)
	tellScript   = newScript("tell", tellText)
	failedScript = newScript("failed", failedText)
	claimScript  = newScript("claim", claimText).returning(maxRecord)
	settleScript = newScript("settle", settleText)
	lookScript   = newScript("look", lookText).returning(maxRecord)
	probeScript  = newScript("probe", probeText)
	paceScript   = newScript("pace", paceText)
)

// server runs scripts. Its replies are []byte, string, int64 or []any of these; its
// errors are *Error, context.DeadlineExceeded or context.Canceled.
type server interface {
	run(ctx context.Context, s *script, keys []string, args ...any) (any, error)
}
