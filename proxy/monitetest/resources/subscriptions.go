package resources

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
)

func init() {
	behave(map[string]*kind{
		"webhook_subscriptions": {fill: fillSubscription},
	}, map[string]handler{
		"POST webhook_subscriptions/{webhook_subscription_id}/enable":            setStatus("enabled"),
		"POST webhook_subscriptions/{webhook_subscription_id}/disable":           setStatus("disabled"),
		"POST webhook_subscriptions/{webhook_subscription_id}/regenerate_secret": regenerateSecret,
	})
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

// setStatus is an action that only changes the status of a document.
func setStatus(status string) handler {
	return func(c *call) (any, error) {
		return c.touch(func(d Doc) error {
			d["status"] = status
			return nil
		})
	}
}

// touch changes the document of the path.
func (c *call) touch(change func(d Doc) error) (Doc, error) {
	d, err := c.update(c.rows(), c.id, change)
	if err == nil && d == nil {
		err = notFound(singular(c.parent))
	}
	return d, err
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
