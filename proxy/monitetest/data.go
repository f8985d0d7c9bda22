package monitetest

import (
	"errors"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// ParseData reads documents by owner and path from JSON, as GET /_sim/state
// writes them:
//
//	{"partner": {"entities": [...]}, "<entity id>": {"payables": [...]}}
func ParseData(text []byte) (map[string]map[string][]map[string]any, error) {
	value, err := schema.Decode(text)
	if err != nil {
		return nil, err
	}
	owners, ok := value.(doc)
	if !ok {
		return nil, errors.New("want an object of owners")
	}
	data := map[string]map[string][]map[string]any{}
	for owner, paths := range owners {
		collections, ok := paths.(doc)
		if !ok {
			return nil, errors.New(owner + ": want an object of collections")
		}
		data[owner] = map[string][]map[string]any{}
		for path, items := range collections {
			list, ok := items.([]any)
			if !ok {
				return nil, errors.New(owner + ": " + path + ": want an array of documents")
			}
			for _, item := range list {
				d, ok := item.(doc)
				if !ok {
					return nil, errors.New(owner + ": " + path + ": want objects")
				}
				data[owner][path] = append(data[owner][path], d)
			}
		}
	}
	return data, nil
}
