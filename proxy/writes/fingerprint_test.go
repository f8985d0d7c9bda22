package writes

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func post(change func(*Request)) Request {
	r := Request{
		GrantType: "entity_user", EntityUserID: "u", EntityID: "e", Method: "POST", Target: "/v1/tags?x=1",
		Length: 4, Head: []byte("body"), ContentType: "application/json",
	}
	change(&r)
	return r
}

func TestEveryPartOfARequestCounts(t *testing.T) {
	seen := map[Name]string{}
	for name, change := range map[string]func(*Request){
		"as it is":          func(*Request) {},
		"grant":             func(r *Request) { r.GrantType = "client_credentials" },
		"user":              func(r *Request) { r.EntityUserID = "v" },
		"entity":            func(r *Request) { r.EntityID = "f" },
		"user and entity":   func(r *Request) { r.EntityUserID, r.EntityID = "ue", "" },
		"entity and user":   func(r *Request) { r.EntityUserID, r.EntityID = "", "ue" },
		"method":            func(r *Request) { r.Method = "PUT" },
		"path":              func(r *Request) { r.Target = "/v1/tag?x=1" },
		"query":             func(r *Request) { r.Target = "/v1/tags?x=2" },
		"no query":          func(r *Request) { r.Target = "/v1/tags" },
		"method and target": func(r *Request) { r.Method, r.Target = "POS", "T/v1/tags?x=1" },
		"body":              func(r *Request) { r.Head = []byte("bodY") },
		"longer body":       func(r *Request) { r.Head, r.Length = []byte("body\n"), 5 },
		"length":            func(r *Request) { r.Length = 5 },
		"unknown length":    func(r *Request) { r.Length = -1 },
		"no body":           func(r *Request) { r.Head, r.Length = nil, 0 },
	} {
		r := post(change)
		if other, taken := seen[r.Fingerprint()]; taken {
			t.Errorf("%q and %q have the same fingerprint", name, other)
		}
		seen[r.Fingerprint()] = name
	}
}

func TestContentTypeIsNoPartOfARequest(t *testing.T) {
	a, b := post(func(*Request) {}), post(func(r *Request) { r.ContentType = "text/plain" })
	if a.Fingerprint() != b.Fingerprint() {
		t.Error("two fingerprints")
	}
}

// form is a multipart body of two parts as a client makes it with this boundary.
func form(boundary, file string) Request {
	body := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nx\r\n" +
		"--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n" + file + "\r\n" +
		"--" + boundary + "--\r\n"
	return multipartRequest(boundary, body)
}

func multipartRequest(boundary, body string) Request {
	head := []byte(body)
	return Request{
		Method: "POST", Target: "/v1/files", Length: int64(len(head)), Head: head[:min(len(head), HeadBytes)],
		ContentType: `multipart/form-data; boundary="` + boundary + `"`,
	}
}

func TestMultipartIsRecognisedWithAnotherBoundary(t *testing.T) {
	large := strings.Repeat("%PDF", HeadBytes/4)
	for _, file := range []string{"%PDF", "", "\r\n", "\r\n--", "--\r\n", large, large[:HeadBytes-300], large[:HeadBytes-200]} {
		a, b := form("----formdata-undici-012345678901", file), form("----formdata-undici-987654321098", file)
		if a.Fingerprint() != b.Fingerprint() {
			t.Errorf("a file of %d bytes: two fingerprints", len(file))
		}
		other := form("----formdata-undici-987654321098", strings.Replace(file, "%PDF", "%pdf", 1))
		if len(file) > 2 && file[0] == '%' && other.Fingerprint() == a.Fingerprint() {
			t.Errorf("a file of %d bytes: another file has the same fingerprint", len(file))
		}
	}
}

func TestBoundaryIsFoundAsClientsWriteIt(t *testing.T) {
	for contentType, want := range map[string]string{
		"multipart/form-data; boundary=abc":                               "abc",
		`Multipart/Mixed;charset=utf-8;boundary="a b:c"`:                  "a b:c",
		"multipart/form-data; boundary=----=_Part_1_2.3":                  "----=_Part_1_2.3", // it needs quotes
		"multipart/related; boundary=a:b/c; charset=utf-8; charset=utf-8": "a:b/c",
		`multipart/related; boundary="a:b" ; charset`:                     "a:b",
		"multipart/":                       "",
		"application/json; boundary=abc":   "",
		"application/json; boundary=----=": "",
	} {
		if got := boundaryOf(contentType); got != want {
			t.Errorf("%s: boundary %q, want %q", contentType, got, want)
		}
	}
}

// However the limit cuts the body, also within a delimiter.
func TestMultipartIsRecognisedWhereverItIsCut(t *testing.T) {
	for n := HeadBytes - 400; n < HeadBytes+10; n++ {
		file := strings.Repeat("x", n)
		a, b := form("0123456789abcdef", file), form("fedcba9876543210", file)
		if a.Fingerprint() != b.Fingerprint() {
			t.Fatalf("a file of %d bytes: two fingerprints", n)
		}
	}
}

func TestShortMultipartMayHaveABoundaryOfAnyLength(t *testing.T) {
	a, b := form("e", "%PDF"), form("another-boundary", "%PDF")
	// "e" occurs in the parts too, so it stays.
	if a.Fingerprint() == b.Fingerprint() {
		t.Error("a boundary that occurs elsewhere was taken out")
	}
	a = form("~", "%PDF")
	if a.Fingerprint() != b.Fingerprint() {
		t.Error("two fingerprints")
	}
}

func TestBoundaryThatOccursInAPartIsNotTakenOut(t *testing.T) {
	for _, file := range []string{"%s", "\r\n--%sX", "\n--%s\r\n", "x--%s\r\n"} {
		for _, more := range []string{"", strings.Repeat("x", HeadBytes)} {
			a := form("0123456789abcdef", fmt.Sprintf(file, "0123456789abcdef")+more)
			b := form("fedcba9876543210", fmt.Sprintf(file, "fedcba9876543210")+more)
			if a.Fingerprint() == b.Fingerprint() {
				t.Errorf("%q and %d bytes: two different files have the same fingerprint", file, len(more))
			}
		}
	}
}

func TestLastByteThatIsLookedAtCounts(t *testing.T) {
	a := form("0123456789abcdef", strings.Repeat("x", HeadBytes))
	b := a
	b.Head = bytes.Clone(a.Head)
	b.Head[HeadBytes-1] = 'y'
	if a.Fingerprint() == b.Fingerprint() {
		t.Error("two different bodies have the same fingerprint")
	}
}

func TestPartsDoNotRunIntoEachOther(t *testing.T) {
	one := multipartRequest("~", "--~\r\n\r\na\r\n--~\r\n\r\nb\r\n--~--\r\n")
	other := multipartRequest("~", "--~\r\n\r\na\r\n-~\r\n\r\nb\r\n--~--\r\n")
	if one.Fingerprint() == other.Fingerprint() {
		t.Error("two different bodies have the same fingerprint")
	}
	one, other = multipartRequest("--x", "----x--x\r\n"), multipartRequest("--y", "----y--x\r\n")
	if one.Fingerprint() == other.Fingerprint() {
		t.Error("a boundary right behind a boundary was taken out")
	}
}

// Two requests have the same fingerprint only if they are the same, boundaries
// apart. same says so in another way: it puts one boundary in the place of the other.
func FuzzFingerprint(f *testing.F) {
	f.Add("POST", "/v1/tags", "u", []byte("body"), "POST", "/v1/tags", "u", []byte("body"), "b1", "b2")
	f.Add("POST", "/v1/tags", "ue", []byte("--b1\r\nx\r\n--b1--"), "POST", "/v1/tags", "u", []byte("--b2\r\nx\r\n--b2--"), "b1", "b2")
	f.Add("PUT", "", "", []byte("--b1\r\nb1\r\n--b1--"), "PUT", "", "", []byte("--b2\r\nb2\r\n--b2--"), "b1", "b2")
	f.Fuzz(func(t *testing.T, method1, target1, user1 string, body1 []byte, method2, target2, user2 string, body2 []byte, boundary1, boundary2 string) {
		request := func(method, target, user string, body []byte, boundary string) Request {
			return Request{
				Method: method, Target: target, EntityUserID: user, Length: int64(len(body)), Head: body,
				ContentType: "multipart/form-data; boundary=" + boundary,
			}
		}
		a, b := request(method1, target1, user1, body1, boundary1), request(method2, target2, user2, body2, boundary2)
		if first, again := a.Fingerprint(), a.Fingerprint(); first != again {
			t.Fatal("not the same twice")
		}
		if a.Fingerprint() != b.Fingerprint() {
			return
		}
		boundary1, boundary2 = boundaryOf(a.ContentType), boundaryOf(b.ContentType)
		same := bytes.Equal(body1, body2)
		if boundary1 != "" && boundary2 != "" && !bytes.Contains(body2, []byte(boundary1)) {
			same = same || bytes.Equal(bytes.ReplaceAll(body1, []byte(boundary1), []byte(boundary2)), body2)
		}
		if method1 != method2 || target1 != target2 || user1 != user2 || !same {
			t.Errorf("%+v and %+v have the same fingerprint", a, b)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	j := New(Config{Guard: 1 << 40, KeyTTL: 1 << 40, Patience: 1 << 30})
	w := payment("x")
	b.ReportAllocs()
	for b.Loop() {
		c := j.Begin(b.Context(), w).Claim
		c.Answered(201, nil)
		c.Written(yes)
		c.Delivered(true)
	}
}
