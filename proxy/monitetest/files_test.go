package monitetest_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestBodyAboveTheLimitIsRefused(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	b.want(413, "POST", "/v1/payables", strings.Repeat(" ", 32<<20)+"{}", header)
	if got := b.sim.Stats().Writes; got != 0 {
		t.Errorf("writes = %d, want 0", got)
	}
}

func TestUploadReturnsSizeAndMD5(t *testing.T) {
	content := strings.Repeat("PDF", 100_000)
	sum := md5.Sum([]byte(content))
	form := func(fields ...string) (string, string) {
		var body strings.Builder
		w := multipart.NewWriter(&body)
		for _, name := range fields {
			if name == "file" {
				part, _ := w.CreateFormFile("file", "bill.pdf")
				_, _ = io.WriteString(part, content)
			} else {
				_ = w.WriteField(name, "payables")
			}
		}
		_ = w.Close()
		return body.String(), w.FormDataContentType()
	}
	tests := []struct {
		name, target string
		fields       []string
		status       int
	}{
		{"a file", "/v1/files", []string{"file", "file_type"}, 201},
		{"type first", "/v1/files", []string{"file_type", "file"}, 201},
		{"no type", "/v1/files", []string{"file"}, 422},
		{"no file", "/v1/files", []string{"file_type"}, 422},
		{"a payable of a file", "/v1/payables/upload_from_file", []string{"file"}, 201},
		{"a receipt of a file", "/v1/receipts/upload_from_file", []string{"file"}, 201},
		{"a logo", "PUT /v1/entities/" + monitetest.DemoEntityID + "/logo", []string{"file"}, 200},
		{"an attachment", "/v1/payables/" + monitetest.DemoPayableID + "/attach_file", []string{"file"}, 200},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			header := b.as("", monitetest.DemoEntityID)
			body, contentType := form(tc.fields...)
			method, target := "POST", tc.target
			if put, ok := strings.CutPrefix(target, "PUT "); ok {
				method, target = "PUT", put
			}
			answer := b.want(tc.status, method, target, body, with(header, "Content-Type", contentType))
			if tc.status == 422 {
				return
			}
			fields := answer.json(t)
			file, ok := fields["file"].(map[string]any)
			if !ok {
				file = fields
			}
			if id, ok := fields["file_id"].(string); ok {
				file = b.want(200, "GET", "/v1/files/"+id, "", header).json(t)
			}
			if file["size"] != 300000.0 || file["md5"] != hex.EncodeToString(sum[:]) || file["name"] != "bill.pdf" {
				t.Errorf("file = %v, want 300000 bytes and md5 %x", file, sum)
			}
			b.want(200, "GET", "/v1/files/"+file["id"].(string), "", header)
			if r := b.sim.Stats(); r.Writes != 1 {
				t.Errorf("writes = %d, want 1", r.Writes)
			}
		})
	}
	b := start(t, monitetest.Config{})
	b.want(422, "POST", "/v1/files", "{}", b.as("", ""))
}

func TestPreviewIsPDF(t *testing.T) {
	b := start(t, monitetest.Config{})
	answer := b.want(200, "GET", "/v1/document_templates/"+monitetest.DemoTemplateID+"/preview", "", b.as("", monitetest.DemoEntityID))
	if answer.header.Get("Content-Type") != "application/pdf" || !strings.HasPrefix(answer.body, "%PDF-1.4\n") {
		t.Errorf("preview = %v", answer)
	}
}

func TestMessageIsStreamedPieceByPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := monitetest.New(monitetest.Config{StreamInterval: time.Second})
		token := inMemory{sim}.mint(mintBody(""))
		r := httptest.NewRequest("POST", "/v1/ai/conversations/"+monitetest.DemoConversationID+"/messages", strings.NewReader(`{"text_prompt":"?"}`))
		for name, value := range map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json",
			"X-Monite-Version": "2024-05-25", "X-Monite-Entity-Id": monitetest.DemoEntityID} {
			r.Header.Set(name, value)
		}
		w := &flushes{ResponseRecorder: httptest.NewRecorder(), began: time.Now()}
		sim.ServeHTTP(w, r)
		if w.Code != 201 || len(w.at) < 5 || w.at[0] != 0 || w.at[4] != 4*time.Second {
			t.Errorf("= %d, flushed at %v, want a piece every second", w.Code, w.at)
		}
		if !strings.HasSuffix(w.Body.String(), "d:{\"finishReason\":\"stop\"}\n") {
			t.Errorf("body = %q", w.Body.String())
		}
	})
}

type flushes struct {
	*httptest.ResponseRecorder
	began time.Time
	at    []time.Duration
}

func (f *flushes) Flush() { f.at = append(f.at, time.Since(f.began)) }

func TestNumbersThatJSONCannotWriteAreRefused(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	for _, number := range []string{"1e999", "-1e999", "99999999999999999999999"} {
		b.want(422, "POST", "/v1/payables", `{"total_amount":`+number+`}`, header)
		b.want(200, "POST", "/v1/payables", `{"partner_metadata":{"any":`+number+`}}`, header)
	}
	for _, path := range []string{"/_sim/state", "/_sim/", "/v1/payables"} {
		b.want(200, "GET", path, "", header)
	}
}

func TestRefusalHasAnEnd(t *testing.T) {
	b := start(t, monitetest.Config{})
	fields := map[string]any{}
	for i := range 20_000 {
		fields[fmt.Sprint("unknown", i)] = 1
	}
	refused := b.want(422, "POST", "/v1/tags", encode(fields), b.as("", monitetest.DemoEntityID))
	if got := strings.Count(refused.body, "extra fields not permitted"); got < 90 || got > 100 {
		t.Errorf("%d problems, want the first 100", got)
	}
}

func TestEveryUploadedDocumentIsReadInTheEnd(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	form := "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\nPDF\r\n--x--\r\n"
	for _, collection := range []string{"payables", "payable_credit_notes", "receipts"} {
		made := b.do("POST", "/v1/"+collection+"/upload_from_file", form, with(header, "Content-Type", "multipart/form-data; boundary=x"))
		item := "/v1/" + collection + "/" + made.json(t)["id"].(string)
		b.sim.Advance(3 * time.Second)
		if got := b.want(200, "GET", item, "", header).json(t); got["ocr_status"] != "success" || got["total_amount"] == nil {
			t.Errorf("%s: ocr_status %v, total_amount %v, want it read", collection, got["ocr_status"], got["total_amount"])
		}
	}
}
