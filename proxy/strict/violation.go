package strict

// Violation is why a head was refused. The sections are RFC 9112's.
type Violation uint8

// The violations, in the order in which a head is read.
const (
	None            Violation = iota
	RequestLine               // 3: not method, space, target, space, version; or an empty line before it
	Preface                   // HTTP/2's first line
	Version                   // 2.3: neither HTTP/1.1 nor HTTP/1.0
	Target                    // 3.2.1: not in origin-form, or with bytes that no URI has
	TargetTooLong             // 3
	BareLF                    // 2.2: a line that ends without CR
	Fold                      // 5.2: a line that begins with a blank
	FieldName                 // 5.1: no colon, a blank before it, or no token
	FieldValue                // 5.5 of RFC 9110: a control byte
	HeadTooLarge              // 5.4 of RFC 9110: too many bytes or fields
	HostMissing               // 3.2
	HostRepeated              // 3.2
	HostMalformed             // 3.2
	LengthMalformed           // 6.3: not one number, in plain digits
	LengthRepeated            // 6.3: be it the same twice
	LengthAndCoding           // 6.1: Content-Length with Transfer-Encoding
	Coding                    // 6.1: anything but one "chunked"
	CodingTooOld              // 6.1: Transfer-Encoding in HTTP/1.0
	Trailer                   // 6.5.1 of RFC 9110: announces a field that frames
	Expectation               // 10.1.1 of RFC 9110: anything but 100-continue
)

var violationNames = [...]string{
	"none", "request_line", "http2_preface", "version", "target", "target_too_long", "bare_lf", "obs_fold", "field_name",
	"field_value", "head_too_large", "host_missing", "host_repeated", "host_malformed", "length_malformed", "length_repeated",
	"length_and_coding", "coding", "coding_too_old", "trailer", "expectation",
}

// String returns the name for the log: it holds nothing of the request.
func (v Violation) String() string { return violationNames[v] }
