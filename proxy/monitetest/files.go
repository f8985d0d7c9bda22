package monitetest

import (
	"crypto/md5" //nolint:gosec // Monite's file resource has an md5 field
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// fileURL is where a file would be. The host does not exist: nothing here
// leads to a real one.
func fileURL(path string) string { return "https://files.monite-sim.invalid/" + path }

// readUpload streams a multipart form: the file is hashed, not kept.
func (c *call) readUpload(needType bool) (doc, *answer) {
	mediaType, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" || params["boundary"] == "" {
		return nil, invalid(missing("body", "file"))
	}
	var file doc
	fileType := ""
	parts := multipart.NewReader(io.LimitReader(c.body, maxBody), params["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, failure(http.StatusBadRequest, "bad_request", "There was an error parsing the body")
		}
		switch part.FormName() {
		case "file":
			if file, err = readFile(part); err != nil {
				return nil, failure(http.StatusBadRequest, "bad_request", "There was an error parsing the body")
			}
		case "file_type":
			text, _ := io.ReadAll(io.LimitReader(part, 256))
			fileType = string(text)
		}
	}
	var problems []problem
	if file == nil {
		problems = append(problems, missing("body", "file"))
	}
	if needType && fileType == "" {
		problems = append(problems, missing("body", "file_type"))
	}
	if len(problems) > 0 {
		return nil, invalid(problems...)
	}
	if fileType == "" {
		fileType = "payables"
	}
	id, now := newUUID(), timestamp(c.s.config.Now())
	path := fileType + "/" + id
	maps.Copy(file, (doc{
		"id": id, "created_at": now, "updated_at": now, "file_type": fileType, "region": "eu-central-1",
		"s3_bucket": "monite-sim", "s3_file_path": path, "url": fileURL(path),
	}))
	return file, nil
}

func readFile(part *multipart.Part) (doc, error) {
	hash := md5.New() //nolint:gosec // see the import
	size, err := io.Copy(hash, part)
	mimetype := part.Header.Get("Content-Type")
	if mimetype == "" {
		mimetype = "application/octet-stream"
	}
	return doc{
		"name": part.FileName(), "mimetype": mimetype, "size": int(size), "md5": hex.EncodeToString(hash.Sum(nil)),
	}, err
}

func uploadFile(c *call) *answer {
	file, refusal := c.readUpload(true)
	if refusal != nil {
		return refusal
	}
	c.s.data.Load().at("", "files").add(file)
	c.executed()
	return c.success(file)
}

// upload answers .../upload_from_file, which makes a document of a file, and
// .../attach_file and .../logo, which hang a file on the document that is there.
func (g *genericCall) upload(attach bool) *answer {
	file, refusal := g.readUpload(false)
	if refusal != nil {
		return refusal
	}
	if attach {
		logo := g.op.Method == http.MethodPut
		updated, _ := g.data.look(g.owner, g.parent).update(g.id, g.s.config.Now(), func(d doc) *answer {
			if logo {
				d["logo"] = file
			} else {
				d["file"], d["file_id"] = file, file["id"]
			}
			return nil
		})
		if updated == nil {
			return notFound(singular(g.parent))
		}
		g.data.at("", "files").add(file)
		g.executed()
		if logo {
			return g.success(file)
		}
		return g.success(updated)
	}
	fields := doc{}
	if g.path[0] == "payables" {
		fillPayable(g.call, fields)
		fields["source_of_payable_data"] = "ocr"
	}
	fields["status"], fields["ocr_status"] = "draft", "processing"
	fields["file"], fields["file_id"] = file, file["id"]
	g.data.at("", "files").add(file)
	return g.create(g.data.at(g.owner, strings.Join(g.path[:len(g.path)-1], "/")), fields)
}
