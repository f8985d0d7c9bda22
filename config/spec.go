package config

import (
	"cmp"
	"errors"
	"reflect"
	"strconv"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// spec is filled by envconfig. Its tags are the only list of variables:
//
//	envconfig  the whole name. The tag holds it with its prefix, and Process is
//	           given none, because envconfig also reads the bare tag: with
//	           `PORT` and a prefix, a plain PORT would be ours.
//	default    the value when unset or empty
//	otherwise  what the table says of the default where it is not a plain value
//	desc       the meaning: the table, the help, the README
//	accepts    what is accepted, without the word "want"
//	min, max   the range of a number or duration, from which accepts is made
//	topic      begins a group: the help command and the tables have it
//
// The order is that of the tables and of the reported mistakes.
type spec struct {
	ClientID         secret.String `topic:"credentials" envconfig:"MONITE_CLIENT_ID" otherwise:"required" desc:"client id of your Monite credentials" accepts:"the client id of your Monite credentials: printable ASCII without spaces, at most 8192 bytes"`
	ClientIDFile     string        `envconfig:"MONITE_CLIENT_ID_FILE" desc:"a file that holds the client id; read again when it changes" accepts:"the path of a readable file that holds the client id and nothing else"`
	ClientSecret     secret.String `envconfig:"MONITE_CLIENT_SECRET" otherwise:"required" desc:"client secret of your Monite credentials" accepts:"the client secret of your Monite credentials: printable ASCII without spaces, at most 8192 bytes"`
	ClientSecretFile string        `envconfig:"MONITE_CLIENT_SECRET_FILE" desc:"a file that holds the client secret; read again when it changes" accepts:"the path of a readable file that holds the client secret and nothing else"`

	Environment            string        `topic:"upstream" envconfig:"MONITE_ENVIRONMENT" otherwise:"sandbox, or what the host of MONITE_API_URL says, else custom" desc:"Monite's environment; picks the upstream origin" accepts:"sandbox, eu or us"`
	APIURL                 string        `envconfig:"MONITE_API_URL" otherwise:"from MONITE_ENVIRONMENT" desc:"the upstream origin itself; a trailing /v1 is dropped" accepts:"an origin such as https://api.sandbox.monite.com, without user, path (but /v1), query or fragment"`
	AllowPlaintextUpstream bool          `envconfig:"MONITE_ALLOW_PLAINTEXT_UPSTREAM" default:"false" desc:"allows http:// to an upstream that is not on this host: secrets and tokens travel in the clear" accepts:"true or false"`
	APIVersion             string        `envconfig:"MONITE_API_VERSION" default:"2024-05-25" desc:"the x-monite-version to add if the app sent none, also used for token requests" accepts:"a date such as 2024-05-25"`
	KeepWarm               time.Duration `envconfig:"MONITE_KEEP_WARM" default:"10m" desc:"how long after a request one connection to Monite is kept ready, so that the next request waits for no handshake; 0 = off" min:"0s" max:"24h"`
	UpstreamTimeout        time.Duration `envconfig:"MONITE_UPSTREAM_TIMEOUT" default:"60s" desc:"how long upstream may take to send its response headers; a streaming body has an idle limit, not a total one" min:"50ms" max:"1h"`
	CAFile                 string        `envconfig:"MONITE_CA_FILE" otherwise:"the system's roots" desc:"further root certificates for the upstream" accepts:"the path of a PEM file with at least one certificate"`
	CertFile               string        `envconfig:"MONITE_UPSTREAM_CERT_FILE" otherwise:"none" desc:"client certificate for an upstream that asks for one; read again at each handshake" accepts:"the path of a PEM file with a certificate and its chain, together with MONITE_UPSTREAM_KEY_FILE"`
	KeyFile                string        `envconfig:"MONITE_UPSTREAM_KEY_FILE" otherwise:"none" desc:"the private key of that certificate" accepts:"the path of a PEM file with the private key of MONITE_UPSTREAM_CERT_FILE"`
	ProxyFromEnv           bool          `envconfig:"MONITE_PROXY_FROM_ENV" default:"false" desc:"honour HTTPS_PROXY and NO_PROXY" accepts:"true or false"`

	GrantType            string `topic:"identities" envconfig:"MONITE_GRANT_TYPE" otherwise:"entity_user where MONITE_ENTITY_USER_ID is set, else client_credentials" desc:"the default grant: the identity of a request that does not name one" accepts:"client_credentials or entity_user"`
	EntityUserID         string `envconfig:"MONITE_ENTITY_USER_ID" desc:"the default entity user" accepts:"a UUID"`
	EntityID             string `envconfig:"MONITE_ENTITY_ID" desc:"the default x-monite-entity-id" accepts:"a UUID"`
	AllowedEntityIDs     string `envconfig:"MONITE_ALLOWED_ENTITY_IDS" otherwise:"only the default" desc:"the entities that apps may name, besides the default" accepts:"UUIDs with commas between them, or a lone *"`
	AllowedEntityUserIDs string `envconfig:"MONITE_ALLOWED_ENTITY_USER_IDS" otherwise:"only the default" desc:"the entity users that apps may act as, besides the default" accepts:"UUIDs with commas between them, or a lone *"`
	IdentitiesFile       string `envconfig:"MONITE_IDENTITIES_FILE" otherwise:"none" desc:"named identities, each with its own listener, path prefix or name, and rules; read again when it changes" accepts:"the path of a YAML file with named identities"`
	TokenHandles         bool   `envconfig:"MONITE_TOKEN_HANDLES" default:"false" desc:"respond to POST /v1/auth/token locally, with an opaque handle that stands for an allowed identity" accepts:"true or false"`
	ReadOnly             bool   `envconfig:"MONITE_READ_ONLY" default:"false" desc:"refuse all but GET and HEAD" accepts:"true or false"`

	ListenAddr   string        `topic:"listener" envconfig:"MONITE_LISTEN_ADDR" default:"localhost:8080" desc:"address of the data listener (HTTP/1.1); localhost means 127.0.0.1 and, if the host has it, ::1" accepts:"host:port with an IP address, localhost or no host, and a port from 0 to 65535, or unix:/absolute/path of at most 107 bytes"`
	Listener     string        `envconfig:"MONITE_LISTENER" default:"strict" desc:"HTTP/1.1 server of the data listener: strict refuses ambiguous requests, std is Go's own" accepts:"strict or std"`
	AllowRemote  bool          `envconfig:"MONITE_ALLOW_REMOTE" default:"false" desc:"required for a data listener that is not on loopback" accepts:"true or false"`
	SocketMode   string        `envconfig:"MONITE_SOCKET_MODE" default:"0600" desc:"permissions of the data listener's unix socket" accepts:"four octal digits from 0600 to 0777, such as 0660"`
	AllowedPeers string        `envconfig:"MONITE_ALLOWED_PEER_UIDS" otherwise:"every user that may open the socket" desc:"the users whose processes may connect to the data listener's unix socket, and to those of identities" accepts:"user numbers with commas between them, together with a unix: MONITE_LISTEN_ADDR"`
	TLSCertFile  string        `envconfig:"MONITE_TLS_CERT_FILE" otherwise:"plain HTTP" desc:"certificate of the data listener, which then speaks TLS; read again when it changes" accepts:"the path of a PEM file with a certificate and its chain, together with MONITE_TLS_KEY_FILE"`
	TLSKeyFile   string        `envconfig:"MONITE_TLS_KEY_FILE" otherwise:"plain HTTP" desc:"the private key of that certificate" accepts:"the path of a PEM file with the private key of MONITE_TLS_CERT_FILE"`
	TLSClientCA  string        `envconfig:"MONITE_TLS_CLIENT_CA_FILE" otherwise:"none" desc:"if set, apps must show a certificate signed by one of these CAs" accepts:"the path of a PEM file with at least one certificate, together with MONITE_TLS_CERT_FILE"`
	AppToken     secret.String `envconfig:"MONITE_APP_TOKEN" otherwise:"off" desc:"if set, apps must send it as X-Monite-Proxy-Token; never forwarded" accepts:"printable ASCII without spaces, at most 8192 bytes"`
	AppTokenFile string        `envconfig:"MONITE_APP_TOKEN_FILE" desc:"a file that holds the app token; read again when it changes" accepts:"the path of a readable file that holds the app token and nothing else"`
	AllowedHosts string        `envconfig:"MONITE_ALLOWED_HOSTS" otherwise:"only loopback names" desc:"further exact Host names, such as compose and service names" accepts:"host names or IP addresses with commas between them, without wildcards and without http://"`

	AdminAddr    string `topic:"admin" envconfig:"MONITE_ADMIN_ADDR" default:"localhost:8081" desc:"the admin listener: health, metrics, status; localhost as for MONITE_LISTEN_ADDR" accepts:"host:port with an IP address, localhost or no host, and a port from 0 to 65535, or unix:/absolute/path of at most 107 bytes"`
	StatusPage   bool   `envconfig:"MONITE_STATUS_PAGE" default:"true" desc:"the status page on the admin listener" accepts:"true or false"`
	QuitEndpoint bool   `envconfig:"MONITE_QUIT_ENDPOINT" default:"false" desc:"allows the shutdown command and POST /quitquitquit on the admin listener" accepts:"true or false"`

	VendAddr      string        `topic:"vend" envconfig:"MONITE_VEND_ADDR" otherwise:"off" desc:"a separate listener that hands the raw tokens of allowed entity users to a backend: POST /v1/auth/token" accepts:"host:port with an IP address, localhost or no host, and a port from 0 to 65535, or unix:/absolute/path of at most 107 bytes"`
	VendSocket    string        `envconfig:"MONITE_VEND_SOCKET_MODE" default:"0600" desc:"permissions of the vend listener's unix socket" accepts:"four octal digits from 0600 to 0777, such as 0660"`
	VendPeers     string        `envconfig:"MONITE_VEND_ALLOWED_PEER_UIDS" otherwise:"those of MONITE_ALLOWED_PEER_UIDS" desc:"the users whose processes may connect to the vend listener's unix socket" accepts:"user numbers with commas between them, together with a unix: MONITE_VEND_ADDR"`
	VendToken     secret.String `envconfig:"MONITE_VEND_APP_TOKEN" otherwise:"that of MONITE_APP_TOKEN" desc:"the token that the backend must send as X-Monite-Proxy-Token" accepts:"printable ASCII without spaces, at most 8192 bytes"`
	VendTokenFile string        `envconfig:"MONITE_VEND_APP_TOKEN_FILE" desc:"a file that holds it; read again when it changes" accepts:"the path of a readable file that holds the app token and nothing else"`

	TokenTimeout   time.Duration `topic:"tokens" envconfig:"MONITE_TOKEN_TIMEOUT" default:"10s" desc:"how long one token request may take" min:"50ms" max:"5m"`
	RefreshBefore  time.Duration `envconfig:"MONITE_REFRESH_BEFORE" default:"5m" desc:"how long before a token ends its successor is fetched, at most half its lifetime; 0 = only once it has ended" min:"0s" max:"24h"`
	HoldTimeout    time.Duration `envconfig:"MONITE_HOLD_TIMEOUT" default:"5s" desc:"how long a request waits for a token before it gets a 503; 0 = it does not wait" min:"0s" max:"5m"`
	MaxIdentities  number        `envconfig:"MONITE_MAX_IDENTITIES" default:"1024" desc:"maximum number of cached grants" min:"1" max:"1000000"`
	MintsPerSecond number        `envconfig:"MONITE_MAX_MINTS_PER_SECOND" default:"20" desc:"token requests per second, long-term average; Monite allows 30 requests of any kind per client id, so sidecars sharing one must share this budget" min:"1" max:"10000"`

	MaxInFlight     number        `topic:"requests" envconfig:"MONITE_MAX_IN_FLIGHT" default:"512" desc:"maximum number of requests under way at once; 503 above it" min:"1" max:"1000000"`
	MaxBodyBytes    number        `envconfig:"MONITE_MAX_BODY_BYTES" default:"33554432" desc:"maximum size of a request body; 413 above it" min:"1" max:"1099511627776"`
	ReplayBodyBytes number        `envconfig:"MONITE_REPLAY_BODY_BYTES" default:"65536" desc:"bodies up to this size are kept, so that they can be sent again if Monite refuses the token; 0 = keep none" min:"0" max:"67108864"`
	RepeatGuard     time.Duration `envconfig:"MONITE_REPEAT_GUARD" default:"10m" desc:"how long a write of unknown outcome is protected from being sent again by accident; 0 = off" min:"0s" max:"24h"`
	IdempotencyTTL  time.Duration `envconfig:"MONITE_IDEMPOTENCY_TTL" default:"24h" desc:"how long an app's Idempotency-Key is remembered; 0 = keys are only passed on" min:"0s" max:"168h"`

	RedisURL          secret.String `topic:"replicas" envconfig:"MONITE_REDIS_URL" otherwise:"off" desc:"the shared store, a Redis or Valkey server: replicas with the same credentials share their tokens, mint budget, pauses and write records there, encrypted" accepts:"a URL such as redis://cache:6379, rediss://user@cache:6380/0, unix:/run/redis.sock or redis+sentinel://s1:26379,s2:26379/mymaster"`
	RedisURLFile      string        `envconfig:"MONITE_REDIS_URL_FILE" desc:"a file that holds the URL; read at the start" accepts:"the path of a readable file that holds the URL and nothing else"`
	RedisPassword     secret.String `envconfig:"MONITE_REDIS_PASSWORD" otherwise:"that of the URL, or none" desc:"the password of the shared store" accepts:"printable ASCII without spaces, at most 8192 bytes"`
	RedisPasswordFile string        `envconfig:"MONITE_REDIS_PASSWORD_FILE" desc:"a file that holds it; read again at each new connection" accepts:"the path of a readable file that holds the password and nothing else"`
	RedisCAFile       string        `envconfig:"MONITE_REDIS_CA_FILE" otherwise:"the system's roots" desc:"further root certificates for rediss://" accepts:"the path of a PEM file with at least one certificate"`
	RedisTimeout      time.Duration `envconfig:"MONITE_REDIS_TIMEOUT" default:"50ms" desc:"how long the shared store may take to respond while a request waits; ten times as long otherwise" min:"5ms" max:"2s"`
	MaxRequests       number        `envconfig:"MONITE_MAX_REQUESTS_PER_SECOND" default:"0" desc:"requests to Monite per second, by this replica, or by all replicas together if MONITE_REDIS_URL is set; a request above the limit waits up to 1 s, then gets 503 proxy_rate_limited; 0 = no limit" min:"0" max:"100000"`

	ShutdownDelay time.Duration `topic:"process" envconfig:"MONITE_SHUTDOWN_DELAY" default:"0s" desc:"after SIGTERM: how long to keep serving while not ready, before draining" min:"0s" max:"1h"`
	DrainTimeout  time.Duration `envconfig:"MONITE_DRAIN_TIMEOUT" default:"25s" desc:"after the shutdown delay: how long running requests may take to finish; 0 = they are cut off at once" min:"0s" max:"1h"`
	LogLevel      string        `envconfig:"MONITE_LOG_LEVEL" default:"info" desc:"minimum level to log" accepts:"trace, debug, info, warn or error"`
	LogFormat     string        `envconfig:"MONITE_LOG_FORMAT" default:"json" desc:"json for machines, console for people" accepts:"json or console"`
	AuditLog      string        `envconfig:"MONITE_AUDIT_LOG" otherwise:"the log" desc:"a file for the audit lines, one per write; appended to, and opened again on SIGHUP" accepts:"the absolute path of a file, in a directory that exists"`
	Confine       string        `envconfig:"MONITE_CONFINE" default:"auto" desc:"Linux: once started, the process can read only its own files and connect only to the ports it needs; require = refuse to start without it" accepts:"auto, off or require"`

	OTLPEndpoint          string        `topic:"traces" envconfig:"OTEL_EXPORTER_OTLP_ENDPOINT" otherwise:"off" desc:"turns on traces, and says where to send them by OTLP over HTTP; /v1/traces is appended" accepts:"a URL such as http://collector:4318, without user, query or fragment"`
	OTLPTracesEndpoint    string        `envconfig:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" otherwise:"from OTEL_EXPORTER_OTLP_ENDPOINT" desc:"the same for traces alone, as the whole URL; the _TRACES_ variable of each OTEL_EXPORTER_OTLP_* pair wins" accepts:"a URL such as http://collector:4318/v1/traces, without user, query or fragment"`
	OTLPHeaders           secret.String `envconfig:"OTEL_EXPORTER_OTLP_HEADERS" otherwise:"none" desc:"header fields for the collector, such as an API key" accepts:"name=value with commas between them, values percent-encoded"`
	OTLPTracesHeaders     secret.String `envconfig:"OTEL_EXPORTER_OTLP_TRACES_HEADERS" otherwise:"from OTEL_EXPORTER_OTLP_HEADERS" desc:"the same for traces alone" accepts:"name=value with commas between them, values percent-encoded"`
	OTLPTimeout           number        `envconfig:"OTEL_EXPORTER_OTLP_TIMEOUT" default:"10000" desc:"limit for one export, retries included, in milliseconds" min:"1" max:"300000"`
	OTLPTracesTimeout     number        `envconfig:"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT" default:"0" desc:"the same for traces alone; 0 = OTEL_EXPORTER_OTLP_TIMEOUT" min:"0" max:"300000"`
	OTLPCertificate       string        `envconfig:"OTEL_EXPORTER_OTLP_CERTIFICATE" otherwise:"system roots" desc:"further roots for the collector" accepts:"the path of a PEM file with at least one certificate"`
	OTLPTracesCertificate string        `envconfig:"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE" otherwise:"from OTEL_EXPORTER_OTLP_CERTIFICATE" desc:"the same for traces alone" accepts:"the path of a PEM file with at least one certificate"`
	OTLPProtocol          string        `envconfig:"OTEL_EXPORTER_OTLP_PROTOCOL" otherwise:"http/protobuf" desc:"the only protocol supported" accepts:"http/protobuf, for which collectors usually have port 4318"`
	OTLPTracesProtocol    string        `envconfig:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" otherwise:"http/protobuf" desc:"the same for traces alone" accepts:"http/protobuf, for which collectors usually have port 4318"`
	OTELServiceName       string        `envconfig:"OTEL_SERVICE_NAME" otherwise:"monite-proxy" desc:"service.name of the traces" accepts:"a name"`
	OTELResource          string        `envconfig:"OTEL_RESOURCE_ATTRIBUTES" otherwise:"none" desc:"further attributes of the process in the traces" accepts:"name=value with commas between them, values percent-encoded"`
	TracesSampler         string        `envconfig:"OTEL_TRACES_SAMPLER" default:"parentbased_always_on" desc:"which requests are traced; parentbased_ follows the app's decision, if it made one" accepts:"always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio"`
	TracesSamplerArg      string        `envconfig:"OTEL_TRACES_SAMPLER_ARG" otherwise:"1" desc:"the share of requests to trace, for the traceidratio samplers" accepts:"a number from 0 to 1"`
	OTELDisabled          bool          `envconfig:"OTEL_SDK_DISABLED" default:"false" desc:"no traces, whatever else is set" accepts:"true or false"`
	TracesExporter        string        `envconfig:"OTEL_TRACES_EXPORTER" default:"otlp" desc:"none = no traces" accepts:"otlp or none"`
	BSPDelay              number        `envconfig:"OTEL_BSP_SCHEDULE_DELAY" default:"5000" desc:"how often queued spans are sent, in milliseconds" min:"1" max:"300000"`
	BSPExportTimeout      number        `envconfig:"OTEL_BSP_EXPORT_TIMEOUT" default:"30000" desc:"a second limit for one export, in milliseconds; the lower one counts" min:"1" max:"300000"`
	BSPQueueSize          number        `envconfig:"OTEL_BSP_MAX_QUEUE_SIZE" default:"2048" desc:"maximum number of queued spans; further spans are dropped and counted" min:"1" max:"65536"`
	BSPBatchSize          number        `envconfig:"OTEL_BSP_MAX_EXPORT_BATCH_SIZE" default:"512" desc:"maximum number of spans in one export" min:"1" max:"65536"`
}

// number is a whole number in decimal digits. A plain int64 would let envconfig
// read 010 as eight and 1_000 as a thousand.
type number int64

// Decode implements envconfig.Decoder.
func (n *number) Decode(text string) error {
	value, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > 15 {
		return errors.New("not a number of at most 15 decimal digits")
	}
	*n = number(value)
	return nil
}

// variable is one field of spec, as its tags describe it.
type variable struct {
	name, fallback, otherwise, desc, accepts string
	min, max, topic                          string
	field                                    int
	kind                                     reflect.Type
}

// variables are those of spec, in its order.
var variables = readTags(reflect.TypeFor[spec]())

func readTags(t reflect.Type) []variable {
	var all []variable
	topic := ""
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		topic = cmp.Or(tag.Get("topic"), topic)
		v := variable{
			name: tag.Get("envconfig"), fallback: tag.Get("default"), otherwise: tag.Get("otherwise"),
			desc: tag.Get("desc"), accepts: tag.Get("accepts"), min: tag.Get("min"), max: tag.Get("max"), topic: topic, field: i,
			kind: t.Field(i).Type,
		}
		switch {
		case v.min == "":
		case t.Field(i).Type == reflect.TypeFor[time.Duration]():
			v.accepts = "a duration from " + v.min + " to " + v.max + ", such as 10s"
		default:
			v.accepts = "a whole number from " + v.min + " to " + v.max
		}
		all = append(all, v)
	}
	return all
}

// named returns the variable of that name, which spec must have.
func named(name string) variable {
	for _, v := range variables {
		if v.name == name {
			return v
		}
	}
	panic("config: no variable " + name)
}
