package proxy

import (
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/target"
)

// refused is the failure of a request that was not sent, with a hint that says what to
// change for it. Such a hint holds names from the configuration, and nothing that came in
// but a byte of the request target.
func (c *call) refused(p *problem) *failed {
	f := notSent(p)
	switch p {
	case &problemTarget:
		f.advice = target.Advice(c.in.RequestURI)
	case &problemNotForwarded:
		if c.arrival.Prefix != nil {
			f.advice = "Set the app's base URL to one that ends in " + c.arrival.Prefix.PathPrefix + "/v1, such as http://localhost:8080" + c.arrival.Prefix.PathPrefix + "/v1."
		}
	case &problemEntity:
		switch named, paired := c.view.Asked(c.in.Header, c.arrival); {
		case paired:
			f.advice = "This entity user is configured together with its entity, and acts for no other: do not send X-Monite-Entity-Id, or send the entity of the user."
		case named != nil:
			f.advice = "Add this entity to allowed_entity_ids of identity " + named.Name + " in MONITE_IDENTITIES_FILE, or do not send X-Monite-Entity-Id."
		}
	case &problemRule:
		f.advice = c.ruleAdvice()
	case &problemIdentityReadOnly:
		f.advice = "Only GET and HEAD are forwarded. Set read_only: false for identity " + c.record.Identity + " in MONITE_IDENTITIES_FILE to allow writes."
	}
	return f
}

// ruleAdvice names the identity, the route and the rule that refuses it.
func (c *call) ruleAdvice() string {
	named := c.identity.Named
	asked := c.record.Method + " " + c.record.Route
	if rule := named.Rules.Denying(c.in.Method, c.path, c.route); rule != "" {
		return "The deny rule \"" + rule + "\" of identity " + named.Name + " refuses " + asked + ". Remove it in MONITE_IDENTITIES_FILE to let the request pass."
	}
	return "No allow rule of identity " + named.Name + " names " + asked + ". Add \"" + asked + "\" to its allow list in MONITE_IDENTITIES_FILE to let the request pass."
}

// saysExpired reports whether a Monite SDK would take text for the news that its token
// is too old.
func saysExpired(text string) bool {
	return strings.Contains(strings.ToLower(text), "expired")
}
