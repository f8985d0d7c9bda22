package monitetest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// streamedWords are sent one by one, each flushed.
var streamedWords = []string{
	"Three", " payables", " are", " overdue;", " the", " oldest", " one", " is", " from", " Mulino", " Rossi", ".",
}

// streamMessage answers in the line protocol of the chat client: one line per
// piece of text, at last the reason for the end.
func streamMessage(c *call) *answer {
	if _, refusal := c.readJSON("text_prompt"); refusal != nil {
		return refusal
	}
	if c.s.data.Load().look(c.entityID, "ai/conversations").get(c.params[0]) == nil {
		return notFound("conversation")
	}
	c.executed()
	a := &answer{status: c.op.Success, stream: func(w http.ResponseWriter, r *http.Request) {
		for _, word := range streamedWords {
			_, _ = fmt.Fprintf(w, "0:%s\n", strconv.Quote(word))
			_ = http.NewResponseController(w).Flush()
			if !sleep(r.Context(), c.s.config.StreamInterval) {
				return
			}
		}
		_, _ = io.WriteString(w, "d:{\"finishReason\":\"stop\"}\n")
	}}
	return a.set("Content-Type", "text/plain; charset=utf-8")
}

// previewTemplate is the one operation whose answer is a PDF.
func previewTemplate(c *call) *answer {
	template := c.s.data.Load().look(c.entityID, "document_templates").get(c.params[0])
	if template == nil {
		return notFound("document_template")
	}
	name, _ := template["name"].(string)
	a := &answer{status: c.op.Success, body: pdf(name)}
	return a.set("Content-Type", "application/pdf").set("Content-Disposition", `inline; filename="preview.pdf"`)
}

// pdf makes a page with one line of text.
func pdf(text string) []byte {
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
