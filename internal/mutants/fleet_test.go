package mutants

const (
	others = "tokencache/others.go"
	store  = "tokencache/redisstore/"
)

// shared are broken builds of what replicas share, each with a test that fails on it.
var shared = []mutant{
	{"no lease is taken", []edit{
		{store + "lua/ask.lua", "redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])", ""},
	}, "tokencache/redisstore", []string{"TestTokenGoesFromOneReplicaToAnother"}},
	{"a lease for ever", []edit{
		{store + "lua/ask.lua", "if held > 0 and held <= 2500 and", "if held ~= -2 and"},
	}, "tokencache/redisstore", []string{"TestPoisonCostsOneMint"}},
	{"swap without compare", []edit{
		{store + "lua/ask.lua", "ARGV[1] == string.sub(tok, 1, 25)", "ARGV[1] ~= ''"},
	}, "tokencache/redisstore", []string{"TestTokenGoesFromOneReplicaToAnother"}},
	{"the older token wins", []edit{
		{store + "lua/tell.lua", "if born and born >=", "if born and born < 0 and born >="},
	}, "tokencache/redisstore", []string{"TestMemoryDoesWhatRedisDoes"}},
	{"a relative end", []edit{
		{store + "tell.go", "c.id, value, born+min(", "c.id, value, born-born+time.Now().UnixMilli()+min("},
	}, "tokencache/redisstore", []string{"TestLateOutcomeAddsNoLife"}},
	{"the age counts from the answer", []edit{
		{others, "f.adopt(a, sent, held)", "f.adopt(a, f.clock.now(), held)"},
	}, "tokencache", []string{"TestAgeCountsFromBeforeTheQuestion"}},
	{"a value opens under any name", []edit{
		{store + "seal.go", "plain, []byte(key+mark[:bornDigits])), nil", "plain, []byte(mark[:bornDigits])), nil"},
		{store + "seal.go", "value[markLen:], []byte(key+mark[:bornDigits]))", "value[markLen:], []byte(mark[:bornDigits]))"},
	}, "tokencache/redisstore", []string{"TestTokenOpensUnderItsOwnNameAndWholeOnly", "TestPoisonCostsOneMint"}},
	{"one witness is enough", []edit{
		{store + "verdict.go", "len(v.witnesses) == 2 && v.witnesses[0] != v.witnesses[1]", "len(v.witnesses) > 0"},
	}, "tokencache/redisstore", []string{"TestVerdictCountsWithTwoWitnesses", "TestRefusalOfOneReplicaKeepsNobodyElseFromMinting"}},
	{"a pause ends for all at once", []edit{
		{others, "spread := int64(jitter() *", "spread := int64(0 *"},
	}, "tokencache", []string{"TestVerdictEndsAtNoCommonMoment"}},
	{"slow is down", []edit{
		{others, "case slow(err) && answered &&", "case slow(err) && !answered && answered &&"},
		{others, "case slow(err) && f.patient():", "case slow(err) && f.patient() && !f.patient():"},
	}, "tokencache", []string{"TestSlowIsWaitedForAndDownIsNot"}},
	{"down is slow", []edit{
		{others, "case slow(err) && answered &&", "case err != nil && answered &&"},
	}, "tokencache", []string{"TestSlowIsWaitedForAndDownIsNot"}},
	{"no pause between look and claim", []edit{
		{"tokencache/mint.go", "err := f.leaveIt(a)\n\t\t\treturn secret.String{}, err, err == nil", "return secret.String{}, nil, true"},
	}, "tokencache", []string{"TestLookAndClaimThatDisagreeAreNoLoop"}},
	{"what the claim finds is asked for again", []edit{
		{"tokencache/mint.go", "return token, err, false\n\t\tcase a.Kind == Busy", "return token, err, err == nil\n\t\tcase a.Kind == Busy"},
	}, "tokencache", []string{"TestTokenThatTheClaimFindsIsNotMintedOnceMore"}},
	{"waiting for another process takes a slot", []edit{
		{"tokencache/mint.go", "f.gate.leave(turn, false)\n\t\t\terr := f.leaveIt(a)", "err := f.leaveIt(a)\n\t\t\tf.gate.leave(turn, false)"},
	}, "tokencache", []string{"TestWaitingForAnotherProcessTakesNoSlot"}},
	{"adopting stands in line", []edit{
		{others, "look := f.gate.delay(f.e) > 0", "look := f.gate.delay(f.e) > 0\n\ttime.Sleep(f.gate.delay(f.e))"},
	}, "tokencache", []string{"TestAdoptingStandsInNoLine"}},
	{"a line here hides what others have", []edit{
		{"tokencache/cache.go", "(c.config.Store == nil || joined)", "(joined || !joined)"},
	}, "tokencache", []string{"TestAdoptingStandsInNoLine", "TestLineThatIsTooLongIsNotStoodIn"}},
	{"a line that is too long is stood in", []edit{
		{"tokencache/mint.go", "return f.e.waiting.Load() > 0", "return f.e.waiting.Load() < 0"},
	}, "tokencache", []string{"TestLineThatIsTooLongIsNotStoodIn"}},
	{"a narrow window", []edit{
		{"tokencache/minted.go", "from := max(lifetime-2*lead,", "from := max(lifetime-lead,"},
	}, "tokencache", []string{"TestSharedRefreshIsDrawnFromAWideWindow"}},
	{"a late question claims", []edit{
		{store + "store.go", "return deadline.UnixMilli() + c.offset.Load()", "return deadline.UnixMilli() * 0"},
	}, "tokencache/redisstore", []string{"TestLateQuestionClaimsNothing", "TestLateClaimOfAWriteClaimsNothing"}},
	{"the script lets a late question claim", []edit{
		{store + "lua/ask.lua", "if ARGV[11] ~= '0' and", "if false and"},
	}, "tokencache/redisstore", []string{"TestMemoryDoesWhatRedisDoes"}},
	{"any number is a budget", []edit{
		{store + "lua/ask.lua", "tonumber(string.match(get(KEYS[5], 31), '^%d+$') or '')", "tonumber(get(KEYS[5], 31))"},
	}, "tokencache/redisstore", []string{"TestPoisonCostsOneMint"}},
	{"patience is short", []edit{{others, "(0.4 + 0.2*jitter())", "(0.1 + 0*jitter())"}}, "tokencache", []string{"TestPatienceEndsBeforeTheHoldDoes"}},
	{"patience is the same for all", []edit{
		{others, "(0.4 + 0.2*jitter())", "(0.5 + 0*jitter())"},
		{others, "pause = time.Duration(float64(pause) * (0.5 + jitter))", "pause = time.Duration(float64(pause) * (1 + 0*jitter))"},
	}, "tokencache", []string{"TestPatienceEndsBeforeTheHoldDoes"}},
	{"a crowd asks as often as one", []edit{
		{store + "lua/ask.lua", "math.floor(n / 15)", "0"},
	}, "tokencache/redisstore", []string{"TestMemoryDoesWhatRedisDoes"}},
	{"50 ms for a flight that was answered", []edit{
		{others, "if known || !f.waited()", "if !f.waited()"},
	}, "tokencache", []string{"TestAnsweredFlightIsPatientWithTheStore"}},
	{"no PING", []edit{
		{store + "client.go", "\treturn greeting\n", "\tif greeting[0][0] == \"PING\" {\n\t\treturn greeting[1:]\n\t}\n\treturn greeting\n"},
	}, "tokencache/redisstore", []string{"TestLeastRightsAreEnough"}},
	{"a PING before the login", []edit{
		{store + "client.go", "\treturn greeting\n", "\treturn append([][]any{{\"PING\"}}, greeting...)\n"},
	}, "tokencache/redisstore", []string{"TestNothingIsSentBeforeALogin"}},
	{"an adopted token is new", []edit{
		{others, "storedAt: start.mono,", "storedAt: sent.mono,"},
	}, "tokencache", []string{"TestAdoptedTokenIsAsYoungAsItIs"}},
	{"the flight waits until it has told", []edit{
		{others, "\tf.mints.Go(func() {\n\t\t// Not on", "\tfunc(f func()) { f() }(func() {\n\t\t// Not on"},
	}, "tokencache", []string{"TestNobodyWaitsForTheStoreToTakeAToken"}},
	{"any token will do after a refusal", []edit{
		{others, "if good && f.adopt", "if (good || !good) && f.adopt"},
	}, "tokencache", []string{"TestTokenOfBeforeTheRefusalIsNotTakenOver"}},
	{"a token of after any refusal will do", []edit{
		{others, "a.AfterRefusal && sent.mono-int64(a.StoreAge) > f.e.accepted.Load()", "a.AfterRefusal"},
	}, "tokencache/redisstore", []string{"TestTokenOfBeforeTheLastRefusalIsNotTakenOver"}},
	{"a claim is not given back at the end", []edit{
		{"tokencache/mint.go", "\tif f.lifetime.Err() != nil && r.err != nil {\n\t\tf.giveBack()", "\tif f.lifetime.Err() != nil && r.err != nil {"},
	}, "tokencache", []string{"TestClaimIsGivenBackAtTheEnd"}},
	{"a token of any pair is told", []edit{
		{store + "tell.go", "|| o.Token.By != c.ring.pair", ""},
	}, "tokencache/redisstore", []string{"TestClaimOfAnotherPairIsNotTold"}},
	{"whoever's clock it is", []edit{
		{store + "store.go", "far := offset > farOff || offset < -farOff", "far := offset > 1000*farOff"},
	}, "tokencache/redisstore", []string{"TestHostWhoseClockIsFarOffStandsAside"}},
	{"the breaker says down", []edit{
		{store + "breaker.go", "return b.err\n\tdefault:", "return &Error{Kind: \"down\"}\n\tdefault:"},
	}, "tokencache/redisstore", []string{"TestBreakerRepeatsWhatItHeard"}},
	{"busy for ever is believed", []edit{
		{store + "store.go", "if kind == \"busy\" && a.q.Force {", "if kind == \"busy\" && a.q.Force && false {"},
	}, "tokencache/redisstore", []string{"TestServerThatIsAlwaysBusyKeepsNobodyFromMinting"}},
	{"a reply of any length", []edit{
		{store + "filter.go", "ok && n <= int64(most)", "ok && n <= int64(most)+1<<20"},
	}, "tokencache/redisstore", []string{"TestFilter"}},
	{"a reply too many", []edit{
		{store + "conn.go", "&& !c.filter.atRest(c.received) {", "&& false {"},
	}, "tokencache/redisstore", []string{"TestConnectionWithAReplyTooManyIsNotKept"}},
	{"a redirect to anywhere", []edit{
		{store + "client.go", "|| !slices.Contains(c.ports, uint16(number))", "|| !slices.Contains(c.ports, uint16(number)) && number == 0"},
	}, "tokencache/redisstore", []string{"TestRedirectLeadsToKnownPortsOnlyAndOnce"}},
	{"records are of the secret", []edit{
		{store + "names.go",
			"secret.PairKey(id, secret.String{}, label, \"records\", origin)",
			"secret.PairKey(id, clientSecret, label, \"records\", origin)"},
	}, "tokencache/redisstore", []string{"TestRecordIsNotFreeAfterARotation"}},
	{"a lapsed claim is pending for ever", []edit{
		{store + "records.go", "record.State == writes.Pending && found.ms > lapse", "record.State == writes.Pending && found.ms > lapse+1<<50"},
	}, "tokencache/redisstore", []string{"TestClaimOfADeadProcessBecomesUnknown"}},
	{"a claim takes what is there", []edit{
		{store + "lua/claim.lua", "if claim ~= ARGV[2] or", "if"},
	}, "tokencache/redisstore", []string{"TestMemoryDoesWhatRedisDoes", "TestRecordIsKeptFromClaimToSettling"}},
	{"anybody settles", []edit{
		{store + "lua/settle.lua", "~= ARGV[1] then return 'other' end", "== '' then return 'other' end"},
	}, "tokencache/redisstore", []string{"TestMemoryDoesWhatRedisDoes", "TestRecordIsKeptFromClaimToSettling"}},
}
