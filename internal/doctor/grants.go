package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/admin/client"
	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// actor is one way in which requests act as an entity user.
type actor struct {
	identity string // its name in the identities file; empty: it has none
	user     string
	entity   string // sent where the app names none
	allowed  config.AllowList
	standard bool // requests that name no identity act like this
}

func (a actor) name() string {
	name := "entity user " + ids.Short(a.user)
	if a.identity != "" {
		name = "identity " + a.identity + ", " + name
	}
	return name
}

// settings name the variables that decide on user and entity.
func (a actor) settings() (ofUser, ofEntity string) {
	switch {
	case a.identity != "":
		return "entity_user_id in the identities file", "entity_id in the identities file"
	case a.standard:
		return "MONITE_ENTITY_USER_ID", "MONITE_ENTITY_ID"
	}
	return "MONITE_ENTITY_USER_ID and MONITE_ALLOWED_ENTITY_USER_IDS", "MONITE_ALLOWED_ENTITY_IDS"
}

// actors are those that the configuration names: the default user first.
func (e *examination) actors() (all []actor) {
	cfg := e.cfg
	standard := cfg.EntityUserID
	if cfg.GrantType != "entity_user" {
		standard = ""
	}
	of := func(user string) actor {
		return actor{user: user, entity: cfg.EntityID, allowed: cfg.AllowedEntityIDs, standard: user == standard}
	}
	if standard != "" {
		all = append(all, of(standard))
	}
	for _, user := range cfg.AllowedEntityUserIDs.IDs() {
		if user != standard {
			all = append(all, of(user))
		}
	}
	if cfg.Identities == nil {
		return all
	}
	for _, i := range cfg.Identities.All {
		if i.EntityUserID != "" {
			all = append(all, actor{identity: i.Name, user: i.EntityUserID, entity: i.EntityID, allowed: i.AllowedEntityIDs})
		}
	}
	return all
}

// minted is the token of an entity user, and what Monite says of the user.
type minted struct {
	token  secret.String
	role   string
	entity string // empty: Monite did not tell
	wrong  bool   // reported already
}

// checkActor tries the user and its entity as the pair that is sent.
func (e *examination) checkActor(ctx context.Context, a actor) finding {
	user, known := e.users[a.user]
	if !known {
		var f finding
		user, f = e.learn(ctx, a)
		user.wrong = f.Result == problem
		e.users[a.user] = user
		if user.wrong {
			return f
		}
	}
	if user.wrong {
		return finding{Result: skipped, What: a.name() + ": see the problem of this user above"}
	}
	f := finding{Result: fine, What: a.name() + ": token minted, role " + user.role}
	if user.entity == "" {
		f.Result, f.Why = note, "Monite did not say which entity the user belongs to"
		return f
	}
	return e.judgePair(a, user, f)
}

// judgePair compares the entity that is sent with that of the user.
func (e *examination) judgePair(a actor, user minted, f finding) finding {
	own, sent := shortOf(user.entity, a.entity)
	_, ofEntity := a.settings()
	mayName := a.allowed.Contains(user.entity)
	switch {
	case a.entity == user.entity:
		f.What += ", entity " + own
	case e.badEntities[a.entity]:
		return finding{Result: skipped, What: a.name() + ": see the problem of its entity above"}
	case a.entity == "" && mayName:
		f.What += ", entity " + own + "; apps have to name it in X-Monite-Entity-Id"
	case a.entity == "":
		f.Result, f.What = problem, a.name()+": its requests carry no entity, and apps may not name one"
		f.Why = "the user belongs to the entity " + own + ", and Monite refuses most calls that do not name it"
		f.Next = "set " + ofEntity + " to that entity; " + whereIDIs
	case mayName && !a.standard && a.identity == "":
		f.What += ", entity " + own + "; apps have to name it in X-Monite-Entity-Id, because another one is the default"
	default:
		f.Result, f.What = problem, a.name()+": it belongs to the entity "+own+", and is sent with the entity "+sent
		f.Why = "Monite refuses a user with another entity than its own (status 403)"
		f.Next = "set " + ofEntity + " to the entity of the user, or name another user; " + whereIDIs
		if !a.standard && a.identity == "" {
			f.Next = "add the entity of the user to " + ofEntity + ", and have apps name it in X-Monite-Entity-Id; " + whereIDIs
		}
	}
	return f
}

// whereIDIs says how to get an id that a report does not hold.
const whereIDIs = "as that user, GET /v1/entity_users/my_entity has its id"

// shortOf shows two ids, and their hashes where the beginnings are the same.
func shortOf(one, other string) (string, string) {
	short, otherShort := ids.Short(one), ids.Short(other)
	if one != other && short == otherShort {
		return short + " (hash " + ids.Hash(one) + ")", otherShort + " (hash " + ids.Hash(other) + ")"
	}
	return short, otherShort
}

// learn mints the user's token, and reads its role and entity.
func (e *examination) learn(ctx context.Context, a actor) (minted, finding) {
	name, grant := a.name(), tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: a.user}
	token, f := e.mint(ctx, grant, "a token for "+name)
	if f.Result == problem {
		if f.Next == rejectedCredentials(http.StatusUnauthorized).Next {
			// The partner token came with the same credentials.
			ofUser, _ := a.settings()
			f.Why = "the entity user is unknown, was deleted, or belongs to another environment; the credentials are good"
			f.Next = "check " + ofUser
		}
		return minted{}, f
	}
	user := minted{token: token, role: "unknown"}
	switch status, body := e.read(ctx, grant, token, "", "/v1/entity_users/my_role"); status {
	case http.StatusOK:
		user.role = roleName(body)
	case http.StatusForbidden:
		return user, finding{Result: problem, What: name + ": token minted, but it may not even read its own role (status 403)",
			Why: "the user has no role, or its role was deleted", Next: "give the user a role in Monite"}
	default:
		return user, e.refusedTo(name, status)
	}
	status, body := e.read(ctx, grant, token, "", "/v1/entity_users/my_entity")
	var entity struct {
		ID string `json:"id"`
	}
	switch {
	case status == http.StatusOK && json.Unmarshal(body, &entity) == nil:
		user.entity, _ = ids.Parse(entity.ID)
	case status != http.StatusForbidden && status != http.StatusNotFound && status != http.StatusOK:
		return user, e.refusedTo(name, status)
	}
	return user, f
}

// roleName is the only text of Monite's in a report: the name that the partner
// gave the role, and what it may do.
func roleName(body []byte) string {
	var role struct {
		Name        string `json:"name"`
		Permissions struct {
			Objects []json.RawMessage `json:"objects"`
		} `json:"permissions"`
	}
	if json.Unmarshal(body, &role) != nil || role.Name == "" {
		return "unknown"
	}
	name := client.TermSafe(role.Name)
	return fmt.Sprintf("%q with permissions for %d kinds of objects", name[:min(len(name), 60)], len(role.Permissions.Objects))
}

// usualCall is the first call of most apps. It wants an entity.
const usualCall = "/v1/payables?limit=1"

// checkCall sends the request of an app that names no identity.
func (e *examination) checkCall(ctx context.Context, partner secret.String) finding {
	cfg := e.cfg
	grant, token := tokencache.Grant{Type: tokencache.ClientCredentials}, partner
	if cfg.GrantType == "entity_user" {
		user := e.users[cfg.EntityUserID]
		if user.wrong || e.badEntities[cfg.EntityID] {
			return finding{Result: skipped, What: "not tried, because of the problem above"}
		}
		grant, token = tokencache.Grant{Type: tokencache.EntityUser, EntityUserID: cfg.EntityUserID}, user.token
	}
	switch {
	case cfg.EntityID == "" && (cfg.AllowedEntityIDs.Any() || len(cfg.AllowedEntityIDs.IDs()) > 0):
		return finding{Result: fine, What: "apps have to name the entity in X-Monite-Entity-Id: there is no default"}
	case cfg.EntityID == "":
		return finding{Result: note, What: "only calls that need no entity work, such as GET /v1/entities",
			Why:  "neither MONITE_ENTITY_ID nor MONITE_ALLOWED_ENTITY_IDS is set: a request with X-Monite-Entity-Id is refused (403 proxy_entity_not_allowed)",
			Next: "set MONITE_ENTITY_ID to the entity that apps work for, or name several in MONITE_ALLOWED_ENTITY_IDS"}
	case e.badEntities[cfg.EntityID]:
		return finding{Result: skipped, What: "not tried, because of the problem above"}
	}
	status, _ := e.read(ctx, grant, token, cfg.EntityID, usualCall)
	what := "GET /v1/payables, " + cfg.ActsAs()
	switch status {
	case http.StatusOK:
		return finding{Result: fine, What: what + ": status 200"}
	case http.StatusForbidden:
		return finding{Result: fine, What: what + ": status 403, the role does not allow it; the request itself is good"}
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusNotFound:
		return finding{Result: problem, What: what + fmt.Sprintf(": status %d", status),
			Why: "Monite does not accept this entity, or this version of the API", Next: "check MONITE_ENTITY_ID and MONITE_API_VERSION"}
	}
	return e.refusedTo(what, status)
}
