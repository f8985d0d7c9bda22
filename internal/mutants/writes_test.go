package mutants

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// writeMutants break the promise that a write is sent once, each in its own way; the
// first four, that memory which a later request uses again holds nothing of an earlier
// one, and was never a write's.
var writeMutants = []mutant{
	{"a write's objects are reused",
		[]edit{{"proxy/reuse.go", "case c.in.Method != http.MethodGet && c.in.Method != http.MethodHead, c.in.ContentLength != 0,\n\t\tr.Origin", "case r.Origin"}},
		"proxy", []string{"TestOnlyPlainReadsAreReused"}},
	{"what is reused keeps the fields of the request before",
		[]edit{{"proxy/reuse.go", "	clear(fields)\n", ""}},
		"proxy", []string{"TestNothingIsLeftInACallThatIsReused"}},
	{"what is reused keeps the fields of the response before",
		[]edit{{"proxy/reuse.go", "	c.room.answer.Empty()\n", ""}},
		"proxy", []string{"TestNothingIsLeftInACallThatIsReused"}},
	{"the strict listener reuses what has had a body",
		[]edit{{"proxy/strict/exchange.go", "r.answer.body != nil || m != http.MethodGet && m != http.MethodHead", `m == ""`}},
		"proxy/strict", []string{"TestOnlyReadsThatEndInOrderAreReused"}},
	{"a write is claimed after it was sent",
		[]edit{{"proxy/claim.go", "	d := c.handler.config.Journal.Begin(c, &w)\n",
			"	if c.in.Header.Get(\"X-Request-Id\") != \"first\" {\n		c.pass()\n		return\n	}\n	d := c.handler.config.Journal.Begin(c, &w)\n"}},
		"proxy", []string{"TestWriteThatBrokeIsNotSentAgain"}},
	{"a key is anybody's",
		[]edit{{"proxy/writes/fingerprint.go", "Name { return r.name(\"key\", key) }", "Name { return (&Request{}).name(\"key\", key) }"}},
		"proxy/writes", []string{"TestKeysOfTwoIdentitiesAreTwoKeys"}},
	{"the identity is no part of a write",
		[]edit{{"proxy/writes/fingerprint.go", "part(r.begin(room[:0], \"request\"), r.Method)",
			"part((&Request{}).begin(room[:0], \"request\"), r.Method)"}},
		"proxy/writes", []string{"TestEveryPartOfARequestCounts"}},
	{"the query is no part of a write",
		[]edit{{"proxy/writes/fingerprint.go", "	b = part(b, r.Target)\n", "	b = part(b, readPath(r.Target))\n"}},
		"proxy/writes", []string{"TestEveryPartOfARequestCounts"}},
	{"parts run into each other",
		[]edit{{"proxy/writes/fingerprint.go", "return append(number(b, int64(len(p))), p...)", "return append(b, p...)"}},
		"proxy/writes", []string{"TestEveryPartOfARequestCounts"}},
	{"a boundary is taken out wherever it occurs",
		[]edit{{"proxy/writes/multipart.go", "		if start < from || !delimiterEnds(body[end:], whole) {\n			return nil, false\n		}\n",
			"		if start < from {\n			start = at\n		}\n"}},
		"proxy/writes", []string{"TestBoundaryThatOccursInAPartIsNotTakenOut"}},
	{"a write is free again when its app goes",
		[]edit{{"proxy/errors.go", "	c.settleFailed(failure, restIn(err))\n",
			"	if c.Err() != nil {\n		c.settleFailed(notSent(failure.problem), nil)\n	}\n	c.settleFailed(failure, restIn(err))\n"}},
		"proxy", []string{"TestAbandonedWriteIsFollowedAndItsRepeatGetsTheResponse"}},
	{"a write is free again when it breaks",
		[]edit{{"proxy/claim.go", "	case f.outcome != Unknown, c.body.cut():\n", "	case true:\n"}},
		"proxy", []string{"TestWriteThatBrokeIsNotSentAgain"}},
	{"a gateway's 502 is believed",
		[]edit{{"proxy/claim.go", "	case status >= http.StatusInternalServerError:\n		return doubtful\n",
			"	case status >= http.StatusInternalServerError:\n		return notExecuted\n"}},
		"proxy", []string{"TestWhatUpstreamSaysOfAWrite"}},
	{"429 counts as executed",
		[]edit{{"proxy/claim.go", "status == http.StatusUnauthorized, status == http.StatusTooManyRequests,", "status == http.StatusUnauthorized,"},
			{"proxy/claim.go", "	case status >= http.StatusInternalServerError:\n", "	case status >= http.StatusTooManyRequests:\n"}},
		"proxy", []string{"TestWhatUpstreamSaysOfAWrite"}},
	{"a repeat does not wait",
		[]edit{{"proxy/writes/judge.go", "		case <-end:\n			return true\n", "		case <-end:\n			return true\n		default:\n			return false\n"}},
		"proxy/writes", []string{"TestRepeatWaitsForTheFirstOne"}},
	{"a request that dials takes over a closed connection",
		[]edit{{"proxy/upstream/exchange.go", "return x.t.pool.accept(g.c), nil", "return g.c, nil"}},
		"proxy/upstream", []string{"TestDiallingRequestIsNotGivenAClosedConnection"}},
	{"the end of a connection is not waited for",
		[]edit{{"proxy/writes/judge.go", "case found.taken != nil && time.Since", "case false && found.taken != nil && time.Since"}},
		"proxy/writes", []string{"TestRepeatRightAfterAResponseWaitsForTheEndOfItsConnection"}},
	{"time frees a pending write",
		[]edit{{"proxy/writes/memory.go", "	if found := m.records[name]; found != nil {\n",
			"	if found := m.records[name]; found != nil && (found.record.State != Pending || time.Since(found.record.Begun) < found.record.Lapse) {\n"}},
		"proxy/writes", []string{"TestPendingWriteIsNeverFree"}},
	{"written is delivered",
		[]edit{{"proxy/writes/record.go", "r.Delivered && (r.taken == nil || r.taken())", "r.Delivered"}},
		"proxy/writes", []string{"TestRepeatGetsWhatTheFirstOneLeft"}},
	{"an undelivered response is dropped",
		[]edit{{"proxy/writes/claim.go", "	if c.final && ok && !c.record.Keyed {\n", "	if c.final && !c.record.Keyed {\n"}},
		"proxy/writes", []string{"TestRepeatGetsWhatTheFirstOneLeft"}},
	{"unknown writes are forgotten first",
		[]edit{{"proxy/writes/memory.go", "	for ; class < classes; class += 2 {\n", "	for class = classes - 2; class >= 0; class -= 2 {\n"}},
		"proxy/writes", []string{"TestUnknownRecordsAreForgottenLast"}},
	{"a closed connection is believed",
		[]edit{{"proxy/writes/memory.go", " || there.State != Pending && there.Version >= mine.Version {", " {"}},
		"proxy/writes", []string{"TestConnectionThatEndsWhileItIsAskedIsBelieved", "TestRecordOfWhichMoreIsKnownIsNotReplaced"}},
	{"a request that was sent ahead is a sign of delivery",
		[]edit{{"proxy/strict/buffer.go", "			if !c.gone.ahead {", "			if true {"}},
		"proxy", []string{"TestRequestThatIsSentAheadIsNoSignOfDelivery"}},
	{"a try that was given up is sent late",
		[]edit{{"proxy/writes/judge.go", "if d.Verdict == Send && c.left(ctx) {", "if d.Verdict == Send && c == nil {"}},
		"proxy/writes", []string{"TestLateTryOfAnAppThatHasGoneIsNotSent"}},
	{"a try that was given up waits for its turn, and takes it",
		[]edit{{"proxy/writes/judge.go", "return ctx.Err() != nil || c.hungUp != nil && c.hungUp()", "return false"}},
		"proxy/writes", []string{"TestTryThatWasGivenUpIsNotSentAfterALaterOne"}},
	{"unknown writes take all the room",
		[]edit{{"proxy/writes/memory.go", "int64(m.maxRecords-m.maxRecords/10)", "int64(m.maxRecords)"}},
		"proxy/writes", []string{"TestFloodOfUnknownWritesLeavesRoomForOthers"}},
	{"a repeat on purpose may be repeated by accident",
		[]edit{{"proxy/writes/judge.go", " && mine.RepeatOf != found.RepeatOf {", " {"}},
		"proxy/writes", []string{"TestRepeatOnPurposeWithTheSameRequestIDIsSentOnce"}},
	{"a repeat on purpose that was not sent frees the write",
		[]edit{{"proxy/writes/claim.go", "	if earlier == nil {\n		_ = store", "	if true {\n		_ = store"}},
		"proxy/writes", []string{"TestRepeatOnPurposeThatWasNotSentChangesNothing"}},
	{"a keyed write goes without the shared store",
		[]edit{{"proxy/writes/journal.go", "	case d.Verdict == Unavailable && !c.record.Keyed:\n", "	case d.Verdict == Unavailable:\n"}},
		"proxy/writes", []string{"TestKeyedWriteIsNotSentWithoutTheSharedStore"}},
	{"any read lets a write go",
		[]edit{{"proxy/writes/unknown.go", "begun.Sub(e.at) >= readAfter && ", ""}},
		"proxy/writes", []string{"TestReadLetsGoOfAnUnknownWrite"}},
	{"a read counts although repeats go on",
		[]edit{{"proxy/writes/unknown.go", " && e.refused.Before(begun)", ""}},
		"proxy/writes", []string{"TestReadThatARefusedRepeatFollowsLetsNothingGo"}},
	{"half a request is followed",
		[]edit{{"proxy/upstream/follow.go", "	case !w.follow.wanted || !w.follow.whole:\n", "	case !w.follow.wanted:\n"},
			{"proxy/upstream/follow.go", "!w.follow.wanted || !w.follow.whole || w.inBody", "!w.follow.wanted || w.inBody"}},
		"proxy/upstream", []string{"TestHalfARequestIsNeverFollowed"}},
	{"the override goes upstream",
		[]edit{{"proxy/rewrite.go", "		strings.HasPrefix(name, \"X-Monite-Proxy-\") ||\n", ""}},
		"proxy", []string{"TestUnknownWriteIsSentAgainOnPurpose"}},
	{"a panic frees the write",
		[]edit{{"proxy/claim.go", "	if !c.record.Sent {\n		claim.Release()\n		return\n	}\n", "	claim.Release()\n"}},
		"proxy", []string{"TestPanicLeavesTheWriteUnknown"}},
	{"what one replica lets go of, the others hold",
		[]edit{{"proxy/writes/journal.go", "later := found.Version > mine.Version || found", "later := false && found"}},
		"proxy/writes", []string{"TestWhatOneReplicaLetsGoOfIsFreeAtAll"}},
	{"a store that has lost a record frees the write",
		[]edit{{"proxy/writes/journal.go", "	if err != nil || !ok || !later {\n", "	if err != nil || ok && !later {\n"}},
		"proxy/writes", []string{"TestLostRecordFreesNothingThatIsRemembered"}},
	{"an older record of the store is believed",
		[]edit{{"proxy/writes/journal.go", "later := found.Version > mine.Version ||", "later := found.Version != mine.Version ||"}},
		"proxy/writes", []string{"TestOlderRecordOfTheStoreIsNotBelieved"}},
	{"a delivery that another replica takes back is believed",
		[]edit{{"proxy/writes/judge.go", "case store != Store(j.memory) && j.mayBeTakenBack", "case false && store != Store(j.memory) && j.mayBeTakenBack"}},
		"proxy/writes", []string{"TestRepeatElsewhereHearsThatTheDeliveryIsTakenBack"}},
	{"a repeat that waits is sent when the store goes away",
		[]edit{{"proxy/writes/journal.go", "!c.record.Keyed && d.Earlier.State == Pending {", "!c.record.Keyed && d.Earlier.State == Pending && false {"}},
		"proxy/writes", []string{"TestRepeatThatWaitsIsNotSentWhenTheStoreGoesAway"}},
	{"a repeat on purpose that was lost frees the write",
		[]edit{{"proxy/writes/claim.go", "	c.takeBack(ctx, store, earlier)\n", "	c.takeBack(ctx, store, nil)\n"}},
		"proxy/writes", []string{"TestRepeatOnPurposeWithoutAReplyFreesNothing"}},
	{"to Go's own listener a reset is an end in order",
		[]edit{{"proxy/std.go", "	case broken, !ourEnd && socket.Gone(c):\n		return false\n", "	case broken, !ourEnd && socket.Gone(c):\n		return true\n"}},
		"proxy", []string{"TestStdServerTellsWhetherTheAppHasTheResponse"}},
}

// Each line is there, and each test exists.
func TestOtherMutantsFitTheTree(t *testing.T) {
	names := map[string]bool{}
	for _, m := range slices.Concat(writeMutants, shared) {
		if names[m.name] || len(m.tests) == 0 {
			t.Errorf("%s: the name occurs twice, or no test is named", m.name)
		}
		names[m.name] = true
		fits(t, m)
		for _, name := range m.tests {
			if !hasTest(t, m.pkg, name) {
				t.Errorf("%s: package %s has no test %s", m.name, m.pkg, name)
			}
		}
	}
}

func hasTest(t *testing.T, pkg, name string) bool {
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pkg), "*_test.go"))
	wiretest.Must(t, err)
	declared := regexp.MustCompile(`(?m)^func ` + name + `\(`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		wiretest.Must(t, err)
		if strings.Contains(string(text), name) && declared.Match(text) {
			return true
		}
	}
	return false
}
