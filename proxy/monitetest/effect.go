package monitetest

import "github.com/monite-proxy/monite-proxy/proxy/monitetest/resources"

// Effect is the effect of a fault.
type Effect string

// The effects. Those that need the real response always come after execution.
const (
	// EffectAnswer sends Status, Header and Body instead of the real response. It is
	// the default when Status is set.
	EffectAnswer Effect = "answer"
	// EffectDelay waits for Delay and goes on as usual. It is the default when
	// Status is not set.
	EffectDelay Effect = "delay"
	// EffectHang sends nothing until the client goes away.
	EffectHang Effect = "hang"
	// EffectFIN closes the connection properly, without a response.
	EffectFIN Effect = "fin"
	// EffectRST closes it by a reset (SO_LINGER 0).
	EffectRST Effect = "rst"
	// EffectRaw writes Body to the connection, byte for byte, and closes it.
	EffectRaw Effect = "raw"

	// EffectTruncate sends half of the response under the full Content-Length, then
	// closes with FIN; EffectTruncateRST likewise with RST.
	EffectTruncate    Effect = "truncate"
	EffectTruncateRST Effect = "truncate_rst"
	// EffectStall sends half of the response, then nothing until the client goes
	// away.
	EffectStall Effect = "stall"
	// EffectBrokenChunk sends half of the response in one chunk, then bytes that are
	// not a chunk.
	EffectBrokenChunk Effect = "broken_chunk"
	// EffectDrip sends the response one byte per Delay.
	EffectDrip Effect = "drip"
	// EffectEndless sends the response's head, and a JSON body that does not end.
	EffectEndless Effect = "endless"
	// EffectGzip sends the response compressed, unasked.
	EffectGzip Effect = "gzip"
	// EffectHTML sends a page with status 200 instead of the response.
	EffectHTML Effect = "html"

	// EffectExpired refuses the token as if it had expired, with Status 401 (also
	// zero), 400 or 403: the dialects that are known.
	EffectExpired Effect = "expired"

	// EffectWebhookLose, EffectWebhookRepeat and EffectWebhookReorder never send
	// a webhook, send it twice, or send it behind the next one. They strike
	// events and no requests.
	EffectWebhookLose    Effect = "webhook_lose"
	EffectWebhookRepeat  Effect = "webhook_repeat"
	EffectWebhookReorder Effect = "webhook_reorder"

	// EffectTokenCRLF puts CR LF and a header line into the access token.
	EffectTokenCRLF Effect = "token_crlf"
	// EffectTokenDuplicateKeys sends every key of the token response twice.
	EffectTokenDuplicateKeys Effect = "token_duplicate_keys"
	// EffectTokenExpiresIn sends Value, which is raw JSON, as expires_in; an
	// empty Value leaves it out. The token itself is good.
	EffectTokenExpiresIn Effect = "token_expires_in"
)

// The effects by when they can strike: before or after the
// execution, only after it, or when a webhook is sent.
var (
	eitherEffects = []Effect{EffectAnswer, EffectDelay, EffectHang, EffectFIN, EffectRST, EffectRaw, EffectHTML, EffectExpired}
	afterEffects  = []Effect{
		EffectTruncate, EffectTruncateRST, EffectStall, EffectBrokenChunk, EffectDrip, EffectEndless, EffectGzip,
		EffectTokenCRLF, EffectTokenDuplicateKeys, EffectTokenExpiresIn,
	}
	webhookEffects = map[Effect]resources.Mischief{
		EffectWebhookLose: resources.Lose, EffectWebhookRepeat: resources.Repeat, EffectWebhookReorder: resources.Reorder,
	}
)
