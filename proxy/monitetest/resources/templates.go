package resources

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

func init() {
	behave(map[string]*kind{
		"mail_templates":    {fill: notDefault},
		"text_templates":    {fill: notDefault},
		"overdue_reminders": {object: "overdue_reminder"},
		"payment_reminders": {object: "payment_reminder", fill: func(_ *call, d Doc) error { d["status"] = "active"; return nil }},
	}, map[string]handler{
		"GET document_templates/{document_template_id}/preview": previewTemplate,
		"POST ai/conversations/{conversation_id}/messages":      streamMessage,
		"POST mail_templates/preview": func(c *call) (any, error) {
			return Doc{"subject_preview": first(c.body["subject"], "Preview"), "body_preview": first(c.body["body"], "<p>Preview</p>")}, nil
		},
	})
}

func notDefault(_ *call, d Doc) error {
	if d["is_default"] == nil {
		d["is_default"] = false
	}
	return nil
}

// streamedWords are sent one by one.
var streamedWords = []string{
	"Three", " payables", " are", " overdue;", " the", " oldest", " one", " is", " from", " Mulino", " Rossi", ".",
}

// streamMessage responds in the line protocol of the chat client: one line per piece
// of text, at last the reason for the end.
func streamMessage(*call) (any, error) {
	reply := &Reply{ContentType: "text/plain; charset=utf-8"}
	for _, word := range streamedWords {
		reply.Stream = append(reply.Stream, "0:"+strconv.Quote(word)+"\n")
	}
	reply.Stream = append(reply.Stream, "d:{\"finishReason\":\"stop\"}\n")
	return reply, nil
}

// previewTemplate is the one operation whose response is a PDF.
func previewTemplate(c *call) (any, error) {
	return &Reply{ContentType: "application/pdf", Body: pdf(text(c.rows().Get(c.id)["name"]))}, nil
}

// pdf makes a page with one line of text.
func pdf(text string) []byte {
	text = strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`).Replace(text)
	content := fmt.Sprintf("BT /F1 24 Tf 72 720 Td (%s) Tj ET", text)
	objects := []string{
		"<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
		fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", len(content), content),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
	}
	var buf bytes.Buffer
	buf.WriteString("%PDF-1.4\n")
	offsets := make([]int, len(objects))
	for i, object := range objects {
		offsets[i] = buf.Len()
		fmt.Fprintf(&buf, "%d 0 obj%s endobj\n", i+1, object)
	}
	xref := buf.Len()
	fmt.Fprintf(&buf, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, offset := range offsets {
		fmt.Fprintf(&buf, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&buf, "trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
	return buf.Bytes()
}
