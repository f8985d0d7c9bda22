package proxy

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// rejected says whether upstream refused the token, and how it said so: by a
// 401, or in the older dialect by a 400 or 403 whose error.message says that
// the token has expired. The body is put back.
func rejected(response *http.Response) string {
	switch response.StatusCode {
	case http.StatusUnauthorized:
		// Read, if it can be, so that the replay may have its connection.
		peek(response)
		return "401"
	case http.StatusBadRequest, http.StatusForbidden:
	default:
		return ""
	}
	if response.ContentLength > maxPeek || !strings.Contains(strings.ToLower(response.Header.Get("Content-Type")), "json") {
		return ""
	}
	peeked, whole := peek(response)
	if !whole {
		return ""
	}
	var said struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(decoded(response, peeked), &said) != nil || !saysTokenExpired(said.Error.Message) {
		return ""
	}
	return "expired"
}

// decoded unpacks a copy, because the app may have asked for a packed response;
// the response itself passes as it is.
func decoded(response *http.Response, peeked []byte) []byte {
	var unpacked io.Reader
	var err error
	switch strings.ToLower(response.Header.Get("Content-Encoding")) {
	case "", "identity":
		return peeked
	case "gzip", "x-gzip":
		unpacked, err = gzip.NewReader(bytes.NewReader(peeked))
	case "deflate": // zlib's format (RFC 9110 section 8.4.1.2), or bare, as some send it
		if unpacked, err = zlib.NewReader(bytes.NewReader(peeked)); err != nil {
			unpacked, err = flate.NewReader(bytes.NewReader(peeked)), nil
		}
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	plain, err := io.ReadAll(io.LimitReader(unpacked, maxPeek))
	if err != nil {
		return nil
	}
	return plain
}
