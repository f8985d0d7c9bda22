package main

import (
	"fmt"
	"io"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func printUsage(w io.Writer) {
	fmt.Fprintf(w, usage,
		monitetest.DemoClientID, monitetest.DemoClientSecret,
		monitetest.DemoEntityID, monitetest.DemoEntityUserID, monitetest.DemoViewerUserID,
		monitetest.DemoStudioID, monitetest.DemoStudioUserID, monitetest.DemoAccountantUserID,
		monitetest.DemoLogisticsID, monitetest.DemoLogisticsUserID, monitetest.DemoLogisticsViewerUserID)
}

const usage = `monite-sim is a simulated Monite API with demo data, for development and CI.
It needs no account and no network, and forgets everything when it stops.

  monite-sim [flags]                     serve until Ctrl-C
  monite-sim [flags] -- command args...  serve while it runs, exit with its code
  monite-sim -health [-listen address]   exit 0 if a simulator responds there

Flags (each also as a variable, such as MONITE_SIM_SEED=1; the flag wins)
  -listen address        port 0 picks a free one             (127.0.0.1:8090)
  -client-id id          the client id that gets tokens      (a demo id, below)
  -client-secret secret  its secret                          (a demo one, below)
  -token-lifetime time   how long an access token lives              (30m)
  -expired-status code   for an expired token; 400 is the older dialect (401)
  -rate-limit number     requests per second and client id, 0 = none (0)
  -latency time          added to every response                     (0s)
  -seed number           ids and chance repeat; 0 = they differ (0)
  -data file             documents instead of the demo data, as
                         GET /_sim/state shows them
  -webhooks              deliver events to the URLs of webhook subscriptions
  -port number           of -listen; prints the address as one line of JSON
  -demo                  print curl lines once the command, a sidecar, is ready

The command gets MONITE_API_URL, MONITE_CLIENT_ID and MONITE_CLIENT_SECRET of
the simulator, and may act for all of its entities and users unless variables
say otherwise. It gets Ctrl-C and SIGTERM, and the simulator outlives it.

Trouble on request, without a token (all of it: go doc .../proxy/monitetest)
  curl -X POST http://127.0.0.1:8090/_sim/revoke_all
  curl http://127.0.0.1:8090/_sim/faults -d '{"path":"token","status":503}'
  curl -X DELETE http://127.0.0.1:8090/_sim/faults
  curl http://127.0.0.1:8090/_sim/clock -d '{"advance":"720h"}'
  curl http://127.0.0.1:8090/_sim/ledger
  http://127.0.0.1:8090/_sim/ is a page with state, ledger, faults and calls

Demo data
  client id                %s
  client secret            %s
  bakery, Bologna          %s
    Giulia, administrator  %s
    Marco, viewer          %s
  design studio, Berlin    %s
    Lena, administrator    %s
    Jonas, accountant      %s
  haulier, Rotterdam       %s
    Sanne, administrator   %s
    Daan, viewer           %s

Examples
  monite-sim -- ./monite-proxy
  monite-sim -listen 127.0.0.1:0 -- npm test
`
