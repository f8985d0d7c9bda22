package tokencache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/wiretest"
)

// tokenOf is another text for each grant.
func tokenOf(g Grant) string { return fmt.Sprintf("%d/%s/%s", len(g.Type), g.Type, g.EntityUserID) }

// Grants that look alike, with everything in them by which some code separates
// the parts of a key, asked for by several at once in a cache that has no room:
// each gets the token that was minted for it.
func TestNoTwoGrantsShareAToken(t *testing.T) {
	config := settings(FetcherFunc(func(_ context.Context, g Grant) (Token, error) {
		return Token{AccessToken: secret.New(tokenOf(g)), ExpiresIn: time.Hour}, nil
	}))
	config.MaxEntries = 64
	c := open(t, config)
	n, seed := wiretest.Number(t, "PAIRS", map[bool]int{true: 2000, false: 100_000}[underRace]), rand.Uint64()
	t.Logf("%d pairs, seed %d", n, seed)
	const workers = 4
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			for range n / workers {
				a := anyGrant(random)
				b := alike(random, a)
				for _, g := range [...]Grant{a, b} {
					token, err := c.Token(t.Context(), g)
					if want := tokenOf(g); err != nil || token.Len() != len(want) || !token.In(want) {
						t.Errorf("Token(%q) is not its own: %v", g, err)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

const separators = "\"\\:|/,;=&%_- \t\n\x00\xff.'`+#0aA"

func anyGrant(random *rand.Rand) Grant {
	types := [...]GrantType{ClientCredentials, EntityUser, EntityUser, EntityUser, "", "entity", `entity_user"`, `entity_user""`, "client_credentials:"}
	g := Grant{Type: types[random.IntN(len(types))]}
	switch random.IntN(3) {
	case 0:
		g.EntityUserID = fmt.Sprintf("%08x-0000-4000-8000-%012x", random.IntN(8), random.IntN(8))
	case 1:
		id := make([]byte, random.IntN(5))
		for i := range id {
			id[i] = separators[random.IntN(len(separators))]
		}
		g.EntityUserID = string(id)
	default:
		g.EntityUserID = string(types[random.IntN(len(types))]) + separators[random.IntN(len(separators)):][:1]
	}
	return g
}

// alike returns a grant that differs from g by next to nothing, or not at all.
func alike(random *rand.Rand, g Grant) Grant {
	id, at := g.EntityUserID, 0
	if id != "" {
		at = random.IntN(len(id))
	}
	other := separators[random.IntN(len(separators)):][:1]
	switch random.IntN(8) {
	case 0:
		g.EntityUserID = strings.ToUpper(id)
	case 1:
		g.EntityUserID = id + other
	case 2:
		g.EntityUserID = other + id
	case 3:
		g.EntityUserID = id[:at]
	case 4: // the border between the two parts moves
		g.Type, g.EntityUserID = g.Type+GrantType(id[:at]), id[at:]
	case 5:
		g.Type, g.EntityUserID = g.Type+GrantType(other), id
	case 6:
		if id != "" {
			g.EntityUserID = id[:at] + other + id[at+1:]
		}
	}
	return g
}
