package mutants

// mutants, in the order of the files they break. Snippets are short, so that what
// stands around them can change.
var mutants = []mutant{
	{"only the first Connection field is read", []edit{
		{"proxy/guard.go",
			"func connectionOptionsAllowed(values []string) bool {",
			"func connectionOptionsAllowed(values []string) bool {\n\tvalues = values[:min(1, len(values))]"},
	}, "proxy", []string{"TestConnectionAfterAnEmptyOneRemovesNothing_CVE_2021_33197"}},
	{"Connection is looked up as it is never spelled", []edit{
		{"proxy/guard.go", `in.Header["Connection"]`, `in.Header["connection"]`},
	}, "proxy", []string{
		"TestConnectionAfterAnEmptyOneRemovesNothing_CVE_2021_33197", "TestConnectionCannotNameWhatIsSetHere_golang_go_50580",
		"TestConnectionNamesNoIdentity_CVE_2021_32813", "TestConnectionIsReadInEverySpelling_CVE_2024_45410",
		"TestHugeConnectionFieldIsAnswered_CVE_2021_31525",
	}},
	{"Connection may name what is set here", []edit{
		{"proxy/guard.go",
			`case "close", "keep-alive", "te", "":`,
			`case "close", "keep-alive", "te", "", "authorization", "x-monite-entity-id", "x-monite-entity-user-id":`},
	}, "proxy", []string{"TestConnectionCannotNameWhatIsSetHere_golang_go_50580", "TestConnectionNamesNoIdentity_CVE_2021_32813"}},
	{"pages may read", []edit{
		{"proxy/guard.go", "case g.fromPage(in):", "case in.Method != http.MethodGet && g.fromPage(in):"},
	}, "proxy", []string{"TestPagesCannotCallWithoutAPreflight_CVE_2026_27589", "TestNoRouteIsOpenToPages_CVE_2025_47910"}},
	{"one route is open to pages", []edit{
		{"proxy/guard.go", "case g.fromPage(in):", `case path != "/v1/webhook_subscriptions" && fromBrowser(in):`},
	}, "proxy", []string{"TestNoRouteIsOpenToPages_CVE_2025_47910"}},
	{"CONNECT is a method", []edit{
		{"proxy/guard.go", "http.MethodPatch, http.MethodDelete}", "http.MethodPatch, http.MethodDelete, http.MethodConnect}"},
	}, "proxy", []string{"TestConnectIsRefusedWithItsBody_GHSA_3ccp_42pg_hgv6"}},
	{"targets of any length", []edit{
		{"proxy/guard.go", "case len(in.RequestURI) > maxTargetBytes:", "case len(in.RequestURI) > 1<<20:"},
	}, "proxy", []string{"TestQueryOfManyParametersPassesWholeOrNotAtAll_CVE_2026_39825"}},
	{"any number of fields", []edit{
		{"proxy/guard.go", "fields > maxHeaderFields", "fields > 1<<20"},
	}, "proxy", []string{"TestThousandsOfFieldsAreRefused_CVE_2023_24534"}},
	{"any Host", []edit{
		{"proxy/guard.go", "case !g.hostAllowed(in):", "case false:"},
	}, "proxy", []string{
		"TestReboundNamesAreRefused_CVE_2026_11624", "TestUnspecifiedAddressIsNoName_CVE_2024_28224", "TestUserAgentOpensNothing_CVE_2026_34457",
		"TestBracketsHoldIPv6Only_CVE_2025_47912", "TestZoneInHostIsRefused_CVE_2025_22870",
	}},
	{"upgrades pass", []edit{
		{"proxy/guard.go", `case wantsWebsocket(in.Header["Upgrade"]):`, "case false:"},
	}, "proxy", []string{"TestNothingRawFollowsAFailedUpgrade_CVE_2018_1002105"}},
	{"an offer of h2c passes", []edit{
		{"proxy/rewrite.go", `"Transfer-Encoding", "Upgrade",`, `"Transfer-Encoding",`},
		{"proxy/upstream/write.go", ` || strings.EqualFold(name, "Upgrade")`, ""},
	}, "proxy", []string{"TestUpgradeToH2CEndsHere_CVE_2026_88008"}},
	{"health checks pass", []edit{
		{"proxy/guard.go",
			"func (g *guard) check(in *http.Request, path string) *problem {",
			"func (g *guard) check(in *http.Request, path string) *problem {\n\tif strings.HasPrefix(in.UserAgent(), \"kube-probe\") {\n\t\treturn nil\n\t}"},
	}, "proxy", []string{"TestUserAgentOpensNothing_CVE_2026_34457"}},
	{"the query is a part of the path", []edit{
		{"proxy/handler.go", `path, _, _ := strings.Cut(c.in.RequestURI, "?")`, "path := strings.Clone(c.in.RequestURI)"},
	}, "proxy", []string{"TestQueryOpensAndClosesNothing_GHSA_7rh7_c77v_6434"}},
	{"X-Forwarded-Uri is the path", []edit{
		{"proxy/handler.go",
			`path, _, _ := strings.Cut(c.in.RequestURI, "?")`,
			"path, _, _ := strings.Cut(c.in.RequestURI, \"?\")\n\tif at := c.in.Header.Get(\"X-Forwarded-Uri\"); at != \"\" {\n\t\tpath = at\n\t}"},
	}, "proxy", []string{"TestPathIsThatOfTheRequestLine_CVE_2026_40575"}},
	{"the first of two versions counts", []edit{
		{"proxy/guard.go", "return len(values) == 1 && isDate(values[0])", "return isDate(values[0])"},
	}, "proxy", []string{"TestRepeatedVersionIsRefused_CVE_2020_25017"}},
	{"the token endpoint is known by one spelling", []edit{
		{"proxy/guard.go", "case target.TouchesAuth(path):", `case strings.HasPrefix(path, "/v1/auth/"):`},
	}, "proxy", []string{"TestCaseIsFoldedInEscapedPaths_CVE_2026_27587"}},
	{"a fragment is a part of the target", []edit{
		{"proxy/target/path.go", "|| c == '#' {", "{"},
	}, "proxy", []string{"TestFragmentIsRefused_CVE_2023_47106", "TestFragmentHidesNoRefusedRoute_GHSA_pxq7_h93f_9jrg"}},
	{"bytes beyond ASCII pass", []edit{
		{"proxy/target/path.go", "c > '~' || ", ""},
	}, "proxy", []string{"TestBytesBeyondASCIIInTheTargetAreRefused_CVE_2023_27491"}},
	{"two dots are a name", []edit{
		{"proxy/target/path.go", `return plain == "." || plain == ".."`, `return plain == "."`},
	}, "proxy", []string{"TestDotSegmentsAreRefused_CVE_2019_9901"}},
	{"encoded dots are no dots", []edit{
		{"proxy/target/path.go", "`/\\.%;#?`", "`/\\%;#?`"},
		{"proxy/target/path.go", `plain := strings.Trim(unescaped(segment), " +")`, `plain := strings.Trim(segment, " +")`},
	}, "proxy", []string{"TestEncodedDotSegmentsAreRefused_CVE_2025_32431"}},
	{"encoded slashes pass", []edit{
		{"proxy/target/path.go", "`/\\.%;#?`", "`.%;#?`"},
	}, "proxy", []string{"TestEncodedSlashesAreRefused_CVE_2021_29492", "TestEncodedDelimitersAreRefused_CVE_2025_66490"}},
	{"an encoded fragment passes", []edit{
		{"proxy/target/path.go", "`/\\.%;#?`", "`/\\.%;?`"},
	}, "proxy", []string{"TestEncodedFragmentIsRefused_CVE_2021_32779", "TestEncodedDelimitersAreRefused_CVE_2025_66490"}},
	{"a path may be encoded twice", []edit{
		{"proxy/target/path.go", "`/\\.%;#?`", "`/\\.;#?`"},
	}, "proxy", []string{"TestDoublyEncodedPathIsRefused_CVE_2021_42013", "TestEncodedDelimitersAreRefused_CVE_2025_66490"}},
	{"path parameters pass", []edit{
		{"proxy/target/path.go", "func SafePath(path string) bool {", "func SafePath(path string) bool {\n\tpath = strings.ReplaceAll(path, `;`, ``)"},
	}, "proxy", []string{"TestPathParametersAreRefused_CVE_2020_5902"}},
	{"backslashes pass", []edit{
		{"proxy/target/path.go", "func SafePath(path string) bool {", "func SafePath(path string) bool {\n\tpath = strings.ReplaceAll(path, `\\`, ``)"},
	}, "proxy", []string{"TestBackslashIsNoRedirect_GO_2026_4316"}},
	{"empty segments pass", []edit{
		{"proxy/target/path.go", "depth < last ||", "depth < last-1<<20 ||"},
	}, "proxy", []string{"TestEmptySegmentsAreRefused_CVE_2021_31920", "TestDoubleSlashIsNoRedirect_GO_2025_3770"}},
	{"encoded line breaks pass", []edit{
		{"proxy/target/path.go", "c < ' ' || c >= 0x7f", "c >= 0x7f"},
	}, "proxy", []string{"TestLineBreaksInThePathAreRefused_CVE_2019_9741"}},
	{"case is not folded in paths", []edit{
		{"proxy/target/path.go",
			`strings.EqualFold(strings.Trim(unescaped(segment), " +."), "auth")`,
			`strings.Trim(unescaped(segment), " +.") == "auth"`},
	}, "proxy", []string{"TestCaseIsFoldedInEscapedPaths_CVE_2026_27587"}},
	{"brackets hold anything", []edit{
		{"proxy/target/host.go", "err != nil || !addr.Is6()", "err != nil && addr.Is6()"},
	}, "proxy", []string{"TestBracketsHoldIPv6Only_CVE_2025_47912"}},
	{"zones are ignored", []edit{
		{"proxy/target/host.go", `addr.Zone() == "" && addr.IsLoopback()`, "addr.IsLoopback()"},
	}, "proxy", []string{"TestZoneInHostIsRefused_CVE_2025_22870"}},
	{"text before an IPv6 address is ignored", []edit{
		{"proxy/target/host.go", `if strings.HasPrefix(host, "[") {`, "if at := strings.IndexByte(host, '['); at >= 0 {\n\t\thost = host[at:]"},
	}, "proxy", []string{"TestTextBeforeAnIPv6HostIsRefused_CVE_2026_25679"}},
	{"case is not folded in hosts", []edit{
		{"proxy/target/host.go", `strings.ToLower(strings.TrimSuffix(name, "."))`, `strings.TrimSuffix(name, ".")`},
	}, "proxy", []string{"TestManyAllowedHostsFoldCase_CVE_2026_27588"}},
	{"0.0.0.0 is loopback", []edit{
		{"proxy/target/host.go", "addr.IsLoopback() &&", "(addr.IsLoopback() || addr.IsUnspecified()) &&"},
	}, "proxy", []string{"TestUnspecifiedAddressIsNoName_CVE_2024_28224"}},
	{"underscores are letters", []edit{
		{"proxy/target/field.go",
			"func FieldName(name string) (plain string, twin bool) {",
			"func FieldName(name string) (plain string, twin bool) {\n\tif strings.Contains(name, `_`) {\n\t\treturn name, false\n\t}"},
	}, "proxy", []string{"TestUnderscoredTwinsStayHere_CVE_2025_64484", "TestUnderscoredEntityIsRefused_CVE_2026_54763"}},
	{"Proxy passes", []edit{
		{"proxy/rewrite.go", `"Forwarded", "X-Forwarded", "Proxy",`, `"Forwarded", "X-Forwarded",`},
	}, "proxy", []string{"TestProxyFieldStaysHere_CVE_2016_5386"}},
	{"most of X-Forwarded passes", []edit{
		{"proxy/rewrite.go", `strings.HasPrefix(name, "X-Forwarded-") ||`, `name == "X-Forwarded-Proto" ||`},
	}, "proxy", []string{
		"TestNoForwardedForIsSent_CVE_2022_32148", "TestForwardedPrefixStaysHere_CVE_2024_52003",
		"TestAddressOfTheCallerIsNotBelieved_GO_2026_5774",
	}},
	{"X-Envoy-Original-Path passes", []edit{
		{"proxy/rewrite.go", `strings.HasPrefix(name, "X-Envoy-") ||`, ""},
	}, "proxy", []string{"TestOriginalPathOfEnvoyStaysHere_CVE_2024_45806"}},
	{"X-Original passes", []edit{
		{"proxy/rewrite.go", `strings.HasPrefix(name, "X-Original-") ||`, ""},
	}, "proxy", []string{"TestPathIsThatOfTheRequestLine_CVE_2026_40575"}},
	{"cookies pass", []edit{
		{"proxy/rewrite.go", `"Proxy-Authenticate", "Cookie",`, `"Proxy-Authenticate",`},
	}, "proxy", []string{"TestCookiesStayHere_CVE_2025_58186"}},
	{"Proxy-Authorization passes", []edit{
		{"proxy/rewrite.go", `"Authorization", "Proxy-Authorization",`, `"Authorization",`},
	}, "proxy", []string{"TestProxyAuthorizationStaysHere_CVE_2025_4673"}},
	{"the entity user passes", []edit{
		{"proxy/rewrite.go", "identity.HeaderEntity, identity.HeaderUser, identity.HeaderName,", "identity.HeaderEntity, identity.HeaderName,"},
	}, "proxy", []string{"TestIdentityIsDeletedEvenIfNoneIsSet_CVE_2026_30851"}},
	{"X-Real-Ip passes", []edit{
		{"proxy/rewrite.go", `"X-Real-Ip", "X-Client-Ip"`, `"X-Client-Ip"`},
	}, "proxy", []string{"TestAddressOfTheCallerIsNotBelieved_GO_2026_5774"}},
	{"trailers are announced", []edit{
		{"proxy/rewrite.go", `"Keep-Alive", "Te", "Trailer",`, `"Keep-Alive", "Te",`},
		{"proxy/upstream/write.go", `strings.EqualFold(name, "Trailer") || `, ""},
	}, "proxy", []string{"TestTrailersEndHere_CVE_2026_88004"}},
	{"Expect passes", []edit{
		{"proxy/rewrite.go", `"Http2-Settings", "Expect",`, `"Http2-Settings",`},
		{"proxy/upstream/write.go", `return strings.EqualFold(name, "Expect")`, "return false"},
	}, "proxy", []string{"TestExpectIsNotForwarded_CVE_2024_24791"}},
	{"the query is parsed and printed", []edit{
		{"proxy/rewrite.go", "RawQuery: query, ForceQuery: hasQuery,", "RawQuery: in.URL.Query().Encode() + query[:0], ForceQuery: hasQuery,"},
	}, "proxy", []string{
		"TestQueryIsForwardedByteForByte_CVE_2022_2880", "TestQueryOfManyParametersPassesWholeOrNotAtAll_CVE_2026_39825",
		"TestQueryOpensAndClosesNothing_GHSA_7rh7_c77v_6434",
	}},
	{"Host of the app passes", []edit{
		{"proxy/rewrite.go", "Host:          config.Origin.Host,", "Host:          in.Host,"},
	}, "proxy", []string{"TestHostOfTheAppNeverReachesUpstream_CVE_2023_29406", "TestCallerChoosesNoDestination_aws_sigv4_proxy"}},
	{"Host of the app is where to go", []edit{
		{"proxy/rewrite.go", "Scheme: config.Origin.Scheme, Host: config.Origin.Host,", "Scheme: config.Origin.Scheme, Host: in.Host,"},
	}, "proxy", []string{"TestCallerChoosesNoDestination_aws_sigv4_proxy"}},
	{"a field may be repeated", []edit{
		{"proxy/identity/resolve.go", "if len(header[name]) > 1 {", "if len(header[name]) > 1<<20 {"},
	}, "proxy", []string{"TestRepeatedEntityIsRefused_CVE_2021_32777"}},
	{"redirects are followed", []edit{
		{"proxy/credential.go", "response, err := c.attempt(out)", "response, err := (&http.Client{}).Do(out)"},
	}, "proxy", []string{"TestRedirectsAreNotFollowed_CVE_2024_45336"}},
	{"the token is logged", []edit{
		{"proxy/credential.go", "c.record.Sent = true", "c.record.Sent, c.record.RequestID = true, token.Reveal()"},
	}, "proxy", []string{"TestTokenIsNotInTheLog_CVE_2019_11250"}},
	{"an echoed token passes", []edit{
		{"proxy/credential.go", "dropEchoes(response.Header, token)", "_ = token"},
	}, "proxy", []string{"TestTokenIsInNoAnswer_CVE_2024_39315"}},
	{"writes are retried", []edit{
		{"proxy/retry.go", "return method == http.MethodGet || method == http.MethodHead", `return method != ""`},
	}, "proxy", []string{"TestBrokenUpstreamGetsNoStorm_golang_go_52459", "TestIdempotencyKeyIsNoLeaveToSendTwice_golang_go_19943"}},
	{"a broken answer ends well", []edit{
		{"proxy/response.go", "panic(http.ErrAbortHandler)", "return"},
	}, "proxy", []string{"TestBrokenAnswerAbortsAndTheServerLives_CVE_2021_36221"}},
	{"a host is known by its end", []edit{
		{"proxy/response.go", "!strings.EqualFold(at.Host, h.config.Origin.Host) &&", "!strings.HasSuffix(at.Host, h.config.Origin.Host) &&"},
	}, "proxy", []string{"TestLocationOfASimilarHostIsAnotherHost_CVE_2023_45289"}},
	{"two slashes begin a path", []edit{
		{"proxy/response.go", "return \"/\" + strings.TrimLeft(rest, `/\\`)", "return rest"},
	}, "proxy", []string{"TestLocationMadeAPathStaysHere_CVE_2021_29651"}},
	{"types are guessed", []edit{
		{"proxy/response.go", `header["Content-Type"] = nil`, "_ = header"},
	}, "proxy", []string{"TestTypeOfAnAnswerIsNotGuessed_CVE_2020_24553"}},
	{"failed answers are logged", []edit{
		{"proxy/response.go",
			"record.Status, record.Origin = response.StatusCode, OriginUpstream",
			"record.Status, record.Origin = response.StatusCode, OriginUpstream\n\tif response.StatusCode >= 500 {\n\t\tbody, _ := io.ReadAll(response.Body)\n\t\tresponse.Body = io.NopCloser(strings.NewReader(string(body)))\n\t\trecord.Err = &url.Error{Op: string(body), Err: io.EOF}\n\t}"},
	}, "proxy", []string{"TestFailedAnswerIsNotLogged_aws_sigv4_proxy"}},
	{"methods are labels", []edit{
		{"proxy/accesslog.go", "methodLabel(in.Method)", "in.Method"},
	}, "proxy", []string{"TestMadeUpMethodsAndPathsAreOneLabel_CVE_2022_21698"}},
	{"metrics are served to apps", []edit{
		{"proxy/handler.go",
			"router.Handle(forwarded, step((*call).forward))",
			"router.Handle(forwarded, step((*call).forward))\n\trouter.HandleFunc(\"/metrics\", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })"},
	}, "proxy", []string{"TestNothingOfOurOwnIsServedToApps_CVE_2022_24797"}},
	{"slashes at the end are redirected", []edit{
		{"proxy/handler.go",
			"func (c *call) forward() {",
			"func (c *call) forward() {\n\tif in, n := c.in, len(c.in.URL.Path); n > 1 && in.URL.Path[n-1] == '/' {\n\t\thttp.Redirect(c.w, in, in.URL.Path[:n-1], http.StatusMovedPermanently)\n\t\treturn\n\t}"},
	}, "proxy", []string{"TestDoubleSlashIsNoRedirect_GO_2025_3770"}},
	{"a head may take for ever", []edit{
		{"proxy/server.go", "server.http.Protocols.SetHTTP1(true)", "server.http.Protocols.SetHTTP1(true)\n\tserver.http.ReadHeaderTimeout = 0"},
	}, "proxy", []string{"TestConnectionThatSaysLittleIsClosed_CVE_2026_56853"}},
	{"HTTP/2 is spoken", []edit{
		{"proxy/server.go", "server.http.Protocols.SetHTTP1(true)", "server.http.Protocols.SetHTTP1(true)\n\tserver.http.Protocols.SetUnencryptedHTTP2(true)"},
	}, "proxy", []string{
		"TestHTTP2RapidResetMeetsNoServer_CVE_2023_39325", "TestHTTP2ContinuationFloodMeetsNoServer_CVE_2023_45288",
		"TestHTTP2HeaderTableMeetsNoServer_CVE_2022_41717",
	}},
	{"a malformed body ends well", []edit{
		{"proxy/body.go", "n, err := s.body.Read(p)", "n, err := s.body.Read(p)\n\tif err != nil {\n\t\terr = io.EOF\n\t}"},
	}, "proxy", []string{"TestBareLineFeedEndsNoChunk_CVE_2025_22871", "TestChunkExtensionsAreLimited_CVE_2023_39326"}},
	{"what cannot be parsed is quoted", []edit{
		{"proxy/upstream/head.go", "return 0, errHeadMalformed // the parser's own error quotes the value", "return 0, err"},
	}, "proxy", []string{"TestWhatCannotBeParsedIsNotQuoted_CVE_2026_42507"}},
	{"101 is an interim answer", []edit{
		{"proxy/upstream/read.go",
			"case resp.StatusCode == http.StatusSwitchingProtocols:",
			"case resp.StatusCode == 1000+http.StatusSwitchingProtocols:"},
	}, "proxy", []string{"TestSwitchingProtocolsIsNoAnswer_CVE_2026_55458"}},
	{"stray bytes are left for the next", []edit{
		{"proxy/upstream/exchange.go", "x.c.atRest() && ", ""},
		{"proxy/upstream/conn.go", "c.r, c.w = 0, 0\n\tc.headLeft = maxHead", "c.headLeft = maxHead"},
	}, "proxy", []string{"TestAnswerOfACancelledRequestReachesNobody_CVE_2025_29923"}},
	{"both kinds of framing are sent", []edit{
		{"proxy/upstream/write.go", `"Transfer-Encoding: chunked\r\n"...`, `"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"...`},
	}, "proxy", []string{"TestFramingIsMadeAnew_CVE_2026_2835"}},
	{"HTTP/2 is offered", []edit{
		{"proxy/upstream/dial.go", `config.NextProtos = []string{"http/1.1"}`, `config.NextProtos = append(config.NextProtos, "http/1.1")`},
	}, "proxy/upstream", []string{"TestHTTP2IsNotOffered_CVE_2026_33814"}},
	{"sessions are shared", []edit{
		{"proxy/upstream/dial.go",
			"config.ClientSessionCache = tls.NewLRUClientSessionCache(0)",
			"if config.ClientSessionCache == nil {\n\t\tconfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)\n\t}"},
	}, "proxy/upstream", []string{"TestSessionsAreNotSharedBetweenConfigurations_CVE_2025_68121"}},
	{"the standard library allows a blank before the colon", []edit{
		{"std/net/textproto/reader.go", "key, ok := canonicalMIMEHeaderKey(k)", `key, ok := canonicalMIMEHeaderKey(bytes.TrimRight(k, " \t"))`},
	}, "proxy", []string{"TestBlankBeforeTheColonIsRefused_CVE_2019_16276"}},
	{"the standard library reads any amount of chunk extensions", []edit{
		{"std/net/http/internal/chunked.go", "if cr.excess > 16*1024 {", "if cr.excess > 1<<40 {"},
	}, "proxy", []string{"TestChunkExtensionsAreLimited_CVE_2023_39326"}},
	{"the standard library takes a bare LF", []edit{
		{"std/net/http/internal/chunked.go", `return nil, errors.New("chunked line ends with bare LF")`, "return p[:len(p)-1], nil"},
	}, "proxy", []string{"TestBareLineFeedEndsNoChunk_CVE_2025_22871"}},
	{"the standard library takes two Transfer-Encodings", []edit{
		{"std/net/http/transfer.go", "if len(raw) != 1 {", "if len(raw) == 0 {"},
	}, "proxy", []string{"TestTwoTransferEncodingsAreRefused_CVE_2020_8287"}},
	{"the standard library takes much for chunked", []edit{
		{"std/net/http/transfer.go",
			`if !ascii.EqualFold(raw[0], "chunked") {`,
			`if !ascii.EqualFold(raw[0], "chunked") && !strings.Contains(raw[0], "chunked") {`},
	}, "proxy", []string{"TestTransferEncodingIsExactlyChunked_CVE_2019_18277"}},
	{"much is taken for chunked, in answers", []edit{
		{"proxy/upstream/head.go", `!equalFold(codings[0], "chunked")`, `!strings.Contains(codings[0], "chunked")`},
	}, "proxy/upstream", []string{"TestTransferEncodingOfAnAnswerIsExactlyChunked_CVE_2022_1705"}},
	{"pages may act", []edit{
		{"internal/admin/admin.go", "if foreign {", "if foreign && r.Method == http.MethodGet {"},
	}, "internal/admin", []string{"TestPagesStartNothingHere_CVE_2026_27589"}},
	{"any Host, on the admin listener", []edit{
		{"internal/admin/admin.go", "if !h.hostAllowed(r) {", `if r.Host == "" {`},
	}, "internal/admin", []string{"TestReboundNamesSeeNothingHere_CVE_2024_28224"}},
	{"there is a profiler", []edit{
		{"internal/admin/admin.go", `get("/version", h.version)`, "get(\"/version\", h.version)\n\tget(\"/debug/pprof/*\", h.version)"},
	}, "internal/admin", []string{"TestProfilerIsNotHere_CVE_2022_24797"}},
	{"users are named", []edit{
		{"internal/admin/status.go", "UserHash: ids.Hash(s.Grant.EntityUserID)", "UserHash: s.Grant.EntityUserID"},
	}, "internal/admin", []string{"TestUsersAreNotNamedHere_CVE_2024_39315"}},
	{"a missing CA file is ignored", []edit{
		{"config/certificates.go", "roots, err := certs.Roots(path)", "roots, err := certs.Roots(path)\n\tif err != nil {\n\t\treturn nil\n\t}"},
	}, "config", []string{"TestBadCAFileIsAMistake_CVE_2026_27586"}},
	{"a panic in a mint is not caught", []edit{
		{"tokencache/mint.go", "if r := recover(); r != nil {", "if r := error(nil); r != nil {"},
	}, "tokencache", []string{"TestPanicInFetcherIsAnErrorToAll_golang_go_33519"}},
	{"the mint ends with its first caller", []edit{
		{"tokencache/cache.go",
			"DoChan(e.key, func() (any, error) { return c.mint(e) }):",
			"DoChan(e.key, func() (any, error) {\n\t\t\tdefer func(whole context.Context) { c.lifetime = whole }(c.lifetime)\n\t\t\tc.lifetime = ctx\n\t\t\treturn c.mint(e)\n\t\t}):"},
	}, "tokencache", []string{"TestCancelledFirstCallerDoesNotEndTheMint_janos_singleflight_4"}},
}
