package proxy

import "github.com/monite-proxy/monite-proxy/internal/routes"

// otherRoute labels every path that Monite does not publish.
const otherRoute = "other"

// RouteTemplate names a path as it stands in the request target: Monite's
// published template, or "other".
func RouteTemplate(path string) string { return routes.Template(routes.Find(path)) }
