package resources

import (
	"crypto/md5" //nolint:gosec // Monite's file resource has an md5 field
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// MaxBody is above Monite's largest documented upload (20 MB).
const MaxBody = 32 << 20

// judge reads query and body and refuses what the document does not allow:
// everything that is wrong at once.
func (c *call) judge() error {
	var problems []schema.Problem
	c.query, problems = c.Op.JudgeQuery(c.Query)
	c.body = Doc{}
	switch {
	case c.Op.Multipart:
		wrong, err := c.readForm()
		if err != nil {
			return err
		}
		problems = append(problems, wrong...)
	case c.Op.Body != nil:
		wrong, err := c.readJSON()
		if err != nil {
			return err
		}
		problems = append(problems, wrong...)
	}
	if c.Version != "" && c.Version < c.api.table.Version {
		problems = c.forgiveOldFields(problems)
	}
	if len(problems) > 0 {
		return invalid(problems[:min(len(problems), maxProblems)]...)
	}
	return nil
}

// maxProblems bounds a refusal, which the ring of requests keeps: a body may have a
// hundred thousand unknown fields.
const maxProblems = 100

// forgiveOldFields takes the fields that are not known out of the body, and
// out of the problems.
func (c *call) forgiveOldFields(problems []schema.Problem) []schema.Problem {
	return slices.DeleteFunc(problems, func(p schema.Problem) bool {
		if p.Type != "value_error.extra" {
			return false
		}
		var parent any = c.body
		for _, step := range p.Loc[1 : len(p.Loc)-1] {
			switch at := parent.(type) {
			case Doc:
				parent = at[text(step)]
			case []any:
				parent = at[step.(int)]
			}
		}
		delete(object(parent), text(p.Loc[len(p.Loc)-1]))
		return true
	})
}

func (c *call) readJSON() ([]schema.Problem, error) {
	body, err := io.ReadAll(io.LimitReader(c.Body, MaxBody+1))
	switch {
	case err != nil:
		return nil, badRequest("The request body could not be read")
	case len(body) > MaxBody:
		return nil, &Refusal{Status: http.StatusRequestEntityTooLarge, Kind: "request_too_large", Message: "The request body is too large"}
	case len(body) == 0 && !c.Op.BodyRequired:
		return nil, nil
	case len(body) == 0:
		return []schema.Problem{schema.Missing("body")}, nil
	}
	if mediaType, _, _ := mime.ParseMediaType(c.ContentType); mediaType != "application/json" {
		return []schema.Problem{{Loc: []any{"body"}, Msg: "value is not a valid dict", Type: "type_error.dict"}}, nil
	}
	value, err := schema.Decode(body)
	if err != nil {
		return []schema.Problem{{Loc: []any{"body"}, Msg: "the body is not JSON: " + err.Error(), Type: "value_error.jsondecode"}}, nil //nolint:nilerr // the client is told
	}
	if d, ok := value.(Doc); ok {
		c.body = d
	}
	return c.Op.Body.Judge(value, "body"), nil
}

// readForm streams a multipart form: a file is hashed, not kept.
func (c *call) readForm() ([]schema.Problem, error) {
	mediaType, params, err := mime.ParseMediaType(c.ContentType)
	if err != nil || mediaType != "multipart/form-data" || params["boundary"] == "" {
		return c.Op.Body.Judge(Doc{}, "body"), nil //nolint:nilerr // the client is told what is missing
	}
	fields := Doc{}
	parts := multipart.NewReader(io.LimitReader(c.Body, MaxBody), params["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, badRequest("There was an error parsing the body")
		}
		p := c.Op.Body.Property(part.FormName())
		if p != nil && p.Schema.Format == "binary" {
			if c.upload, err = readFile(part); err != nil {
				return nil, badRequest("There was an error parsing the body")
			}
			fields[p.Name] = part.FileName()
			continue
		}
		content, _ := io.ReadAll(io.LimitReader(part, 64<<10))
		fields[part.FormName()] = string(content)
	}
	c.body = fields
	return c.Op.Body.Judge(fields, "body"), nil
}

func readFile(part *multipart.Part) (Doc, error) {
	hash := md5.New() //nolint:gosec // see the import
	size, err := io.Copy(hash, part)
	mimetype := part.Header.Get("Content-Type")
	if mimetype == "" {
		mimetype = "application/octet-stream"
	}
	return Doc{"name": part.FileName(), "mimetype": mimetype, "size": int(size), "md5": hex.EncodeToString(hash.Sum(nil))}, err
}

// fileURL returns the URL that a file would have. The host does not exist: nothing
// here leads to a real one.
func fileURL(path string) string { return "https://files.monite-sim.invalid/" + path }

// keepFile stores the uploaded file and returns it.
func (c *call) keepFile(kind string) Doc {
	file := maps.Clone(c.upload)
	if file == nil {
		file = Doc{"name": "document.pdf", "mimetype": "application/pdf", "size": 48213, "md5": "9e107d9d372bb6826bd81d3542a419d6"}
	}
	return c.api.addFile(kind, file)
}

func (a *API) addFile(kind string, file Doc) Doc {
	id, now := a.newID("files"), a.timestamp()
	path := kind + "/" + id
	maps.Copy(file, Doc{
		"id": id, "created_at": now, "updated_at": now, "file_type": kind, "region": "eu-central-1",
		"s3_bucket": "monite-sim", "s3_file_path": path, "url": fileURL(path),
	})
	a.Store().At("", "files").Add(file)
	return file
}

// uploadFile serves POST /files.
func uploadFile(c *call) (any, error) {
	kind := text(c.body["file_type"])
	if strings.TrimSpace(kind) == "" {
		kind = "payables"
	}
	return c.keepFile(kind), nil
}
