package e2e

import (
	"math/rand/v2"
	"strings"
)

// ledgerWorker sends one request at a time and checks each.
type ledgerWorker struct {
	*ledgerSweep
	id     int
	app    *appConn
	random *rand.Rand
	out    []byte
}

// good is a plan without a fault, for a connection to be used once more.
func (w *ledgerWorker) good() *plan {
	return &plan{point: -1, framing: framing(w.random.IntN(int(byClose)))}
}

// strike sends a request and has it cut at a point.
func (w *ledgerWorker) strike(point int) {
	at := w.points[point]
	p := &plan{
		point: point, cut: at.cut, framing: at.framing, at: int(at.at), rst: at.rst,
		again: againKind(w.random.IntN(3)), close: w.random.IntN(2) == 0,
	}
	if p.at > 0 && w.random.IntN(3) == 0 {
		p.split = 1 + w.random.IntN(p.at)
	}
	if at.cut == cutRequest {
		p.framing = framing(w.random.IntN(int(framings))) // of a second attempt
		p.split = 0
	}
	if w.random.IntN(50) == 0 {
		w.upstream.doors.Add(1) // for this connection, or for a neighbour's
	}
	w.send(w.shapes[at.shape], p)
	if !p.safe && p.entry.cuts.Load() > 0 {
		w.faultedWrites.Add(1)
	}
}

// send sends one request, and holds what came back against the ledger.
func (w *ledgerWorker) send(s shape, p *plan) *plan {
	p.safe = s.safe()
	w.upstream.book.open(w.id, p)
	w.out = s.append(w.out[:0], p.nonce)
	got := w.app.exchange(w.out, s.method == "HEAD")
	told := got.tells()
	p.entry.told = told

	w.requests.Add(1)
	column := 1
	if !p.safe {
		w.writes.Add(1)
		column = 0
	}
	w.told[column][told].Add(1)
	if kind := w.check(s, p, &got, told); kind != "" {
		p.entry.reported = true
		where := "no fault"
		if p.point >= 0 {
			where = w.points[p.point].describe(w.shapes)
		}
		w.violation(kind, "%s %s: %s; cuts made %d, attempts %d, executed %d; told %q, status %d, body %q, %v",
			s.method, p.nonce, where, p.entry.cuts.Load(), p.entry.attempts.Load(), p.entry.executed.Load(),
			told, got.status, got.body, got.err)
	}
	return p
}

// check returns the kind of a violation.
func (w *ledgerWorker) check(s shape, p *plan, got *appAnswer, told told) string {
	if kind := contradiction(p.entry); kind != "" {
		return kind
	}
	if got.whole && got.id != p.nonce {
		return "the answer is another's"
	}
	switch told {
	case toldNothing:
		return "no end"
	case toldNoOutcome:
		return "no outcome"
	case toldNotSent, toldRejected, toldUnknown:
		if got.status < 500 {
			return "the app is blamed"
		}
	case toldAnswer:
		return w.checkAnswer(s, p, got)
	}
	return ""
}

func (w *ledgerWorker) checkAnswer(s shape, p *plan, got *appAnswer) string {
	want := answerBody(p.nonce)
	if s.method == "HEAD" {
		want = ""
	}
	switch {
	case got.status != 200 || got.nonce != p.nonce:
		return "the answer is another's"
	case p.framing == byClose && p.cut == cutAnswer && p.entry.attempts.Load() == p.entry.cuts.Load():
		// The last attempt was cut, and this is how it ended.
		if p.rst && s.method != "HEAD" {
			return "a reset looks like the end"
		}
		if strings.HasPrefix(want, string(got.body)) {
			return ""
		}
		return "the body is another's"
	case string(got.body) != want && strings.HasPrefix(want, string(got.body)):
		return "a part looks whole"
	case string(got.body) != want:
		return "the body is another's"
	}
	return ""
}
