package resources

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

func init() {
	behave(map[string]*kind{
		"webhook_subscriptions": {fill: fillSubscription, life: map[string]transition{"enable": {to: "enabled"}, "disable": {to: "disabled"}}},
	}, map[string]handler{
		"GET events": listEvents,
		"POST webhook_subscriptions/{webhook_subscription_id}/regenerate_secret": regenerateSecret,
	})
}

// event records what happened to a document and tells those who subscribed.
func (c *call) event(object, action string, d Doc) {
	c.api.event(c.EntityID, object, action, d)
}

func (a *API) event(entityID, object, action string, d Doc) {
	if object == "" {
		return
	}
	event := Doc{
		"id": a.newID("events"), "created_at": a.timestamp(), "action": object + "." + action, "api_version": a.table.Version,
		"description": strings.ReplaceAll(object, ".", "_") + "_was_" + action + "_event", "entity_id": entityID,
		"object": Doc{"id": d["id"]}, "object_type": object,
	}
	if entityID == "" {
		event["entity_id"] = first(d["entity_id"], schema.FixedUUID("partner"))
	}
	a.Store().At("", "events").Add(event)
	a.notify(event, action)
}

// listEvents shows the entity's events; their collection is the partner's.
func listEvents(c *call) (any, error) {
	var own []*state.Row
	for _, row := range c.data.At("", "events").Rows() {
		if row.Doc["entity_id"] == c.EntityID {
			own = append(own, row)
		}
	}
	return c.page(own)
}

// history adds an entry to the history of a payable or a receivable.
func (a *API) history(entityID, kind, id, eventType string, user any, data Doc) {
	entry := Doc{
		"id": a.newID("history"), "event_type": eventType, "event_data": data, "entity_user_id": user, "timestamp": a.timestamp(),
		singular(kind) + "_id": id,
	}
	a.Store().At(entityID, kind+"/"+id+"/history").Add(entry)
}

func fillSubscription(c *call, d Doc) error {
	d["status"], d["secret"] = "enabled", newSecret()
	if d["event_types"] == nil {
		d["event_types"] = []any{}
	}
	return nil
}

func newSecret() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return "whsec_" + base64.RawURLEncoding.EncodeToString(b[:])
}

func regenerateSecret(c *call) (any, error) {
	d, err := c.touch(func(d Doc) error {
		d["secret"] = newSecret()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return maps.Clone(d), nil
}
