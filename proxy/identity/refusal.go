package identity

// Refusal says why a request is not sent.
type Refusal uint8

// The refusals. None means that the request may be sent.
const (
	None         Refusal = iota
	Unknown              // names an identity that is not configured, or not for this listener
	Duplicate            // names one twice, or two that disagree
	Malformed            // an id is not a UUID, or its field is spelled otherwise
	Entity               // names an entity that it may not
	User                 // names an entity user that it may not
	Handle               // brings a token handle that stands for no identity now
	ReadOnly             // would write as an identity that is read-only
	Rule                 // is not allowed by the rules of the identity
	Grant                // asks for a token of a kind that no identity here has
	TokenRequest         // asks for a token in a form that Monite does not document
)
