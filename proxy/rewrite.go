package proxy

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/identity"
	"github.com/monite-proxy/monite-proxy/proxy/target"
)

// usualFields is the number of keys that a map holds before it outgrows its first
// group. Most requests have no more.
const usualFields = 8

// rewrite makes the Out request. It cannot fail: what could go wrong was
// refused before. Path and query are the bytes that came in, less the path prefix
// of an identity.
func (c *call) rewrite() *http.Request {
	in, config := c.in, &c.handler.config
	_, query, hasQuery := strings.Cut(in.RequestURI, "?")
	if c.room.fields == nil {
		c.room.fields = make(http.Header, usualFields)
	}
	c.room.url = url.URL{
		Scheme: config.Origin.Scheme, Host: config.Origin.Host,
		// Opaque is written as it is; Path would be decoded and encoded again.
		Opaque: c.path, RawQuery: query, ForceQuery: hasQuery,
	}
	c.room.out = *(&http.Request{
		Method: in.Method, URL: &c.room.url,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host:          config.Origin.Host,
		Header:        c.room.fields,
		Body:          c.body.reader(),
		ContentLength: c.body.length,
	}).WithContext(c)
	out := &c.room.out

	// Delete first, then set: Caddy's CVE-2026-30851 was a field that survived
	// because there was nothing to replace it with. Trailers are not forwarded.
	for name, values := range in.Header {
		if !refusedField(name) {
			out.Header[name] = values
		}
	}
	c.handler.codings.narrow(out.Header)
	if c.identity.EntityID != "" {
		out.Header[identity.HeaderEntity] = c.value(valueEntity, c.identity.EntityID)
	}
	if len(out.Header["X-Monite-Version"]) == 0 {
		version := config.APIVersion
		if named := c.identity.Named; named != nil && named.APIVersion != "" {
			version = named.APIVersion
		}
		out.Header["X-Monite-Version"] = c.value(valueVersion, version)
	}
	out.Header["X-Request-Id"] = c.value(valueRequestID, c.record.RequestID)
	return out
}

// refusedField reports whether a request field stays here, in whatever spelling.
func refusedField(name string) bool {
	plain, twin := target.FieldName(name)
	name = plain
	switch name {
	// Of this connection (RFC 9110 section 7.6.1); framing is made anew.
	case "Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Http2-Settings", "Expect", "Content-Length", "Host",
		// Credentials and identity: ours are set, or none.
		"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "Cookie",
		identity.HeaderEntity, identity.HeaderUser, identity.HeaderName, "X-Request-Id",
		// The entity of Monite's successor.
		"X-Organization-Id", "X-Organizationid", "Organization-Id",
		// What would tell upstream to take the request for another one.
		"Forwarded", "X-Forwarded", "Proxy", "Remote-User", "Cookie2", "X-Host", "X-Rewrite-Url",
		"X-Real-Ip", "X-Client-Ip", "Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "X-Originating-Ip", "X-Remote-Ip", "X-Remote-Addr", "X-Proxyuser-Ip",
		"Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4", "Fastly-Client-Ip", "X-Azure-Clientip", "X-Azure-Socketip", "Wl-Proxy-Client-Ip",
		"X-Http-Method", "X-Http-Method-Override", "X-Http-Path-Override", "X-Method-Override",
		// What asks a hop on the way to repeat a request, to double it or to give it up.
		"Grpc-Timeout", "Request-Timeout", "X-Request-Timeout", "X-Timeout", "X-Retry", "X-Retry-On", "X-Retries", "X-Max-Retries", "X-Hedge", "X-Mirror", "X-Shadow",
		// Of browsers.
		"Origin", "Upgrade-Insecure-Requests":
		return true
	}
	return ofMesh(name) ||
		strings.HasPrefix(name, "X-Forwarded-") ||
		strings.HasPrefix(name, "X-Original-") ||
		strings.HasPrefix(name, "X-Monite-Proxy-") ||
		strings.HasPrefix(name, "Sec-Fetch-") ||
		strings.HasPrefix(name, "Access-Control-Request-") ||
		twin && strings.HasPrefix(name, "X-Monite-")
}

// ofMesh reports whether a field commands the proxies of a service mesh: an Envoy or
// a Linkerd at the egress would repeat writes, mirror them, or send them elsewhere.
func ofMesh(name string) bool {
	return strings.HasPrefix(name, "X-Envoy-") || strings.HasPrefix(name, "X-Istio-") || strings.HasPrefix(name, "X-Linkerd-") || strings.HasPrefix(name, "L5d-")
}
