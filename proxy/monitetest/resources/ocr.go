package resources

import (
	"crypto/md5" //nolint:gosec // Monite's file resource has an md5 field
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

func init() {
	behave(nil, map[string]handler{
		"POST ocr_tasks":                                        createOCRTask,
		"POST ocr_tasks/upload_from_file":                       createOCRTask,
		"POST payable_credit_notes/upload_from_file":            uploadTo("payable_credit_notes", Doc{"status": "draft", "origin": "upload"}),
		"POST receipts/upload_from_file":                        uploadTo("receipts", Doc{}),
		"POST payable_credit_notes/{credit_note_id}/cancel_ocr": cancelOCR,
		"GET payables/{payable_id}/suggestions":                 suggestions,
		"POST payables/storecove":                               func(*call) (any, error) { return Doc{}, nil },
		"DELETE payables/{payable_id}/suggestions":              func(*call) (any, error) { return Doc{}, nil },
	})
}

func md5Of(content string) string {
	sum := md5.Sum([]byte(content)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// Mail is a message with a bill that comes to a mailbox.
type Mail struct {
	// To is the full address of a mailbox, From the sender's.
	To   string `json:"to"`
	From string `json:"from"`
	// FileName is the attachment's.
	FileName string `json:"file_name"`
	// Bill is the attachment's content, by the fields of a payable; missing fields
	// are made up.
	Bill Doc `json:"bill"`
}

// Receive makes a payable of the mail, as Monite does, and returns it. The
// recognition of its attachment ends two seconds later.
func (a *API) Receive(m Mail) (Doc, error) {
	a.whole.RLock()
	defer a.whole.RUnlock()
	bill := schema.Normal(m.Bill)
	if wrong := a.places["payables"].methods[http.MethodPost].Body.Judge(bill, "bill"); m.Bill != nil && len(wrong) > 0 {
		return nil, fmt.Errorf("%v: %s", wrong[0].Loc, wrong[0].Msg)
	}
	for _, entity := range a.Store().At("", "entities").All() {
		for _, mailbox := range a.Store().At(text(entity["id"]), "mailboxes").All() {
			if strings.EqualFold(text(mailbox["mailbox_full_address"]), m.To) {
				return a.receive(text(entity["id"]), m), nil
			}
		}
	}
	return nil, fmt.Errorf("there is no mailbox %q", m.To)
}

func (a *API) receive(entityID string, m Mail) Doc {
	c := a.inside(entityID, "payables")
	name := first(m.FileName, "bill.pdf")
	if name == "" {
		name = "bill.pdf"
	}
	file := a.addFile("payables", Doc{"name": name, "mimetype": "application/pdf", "size": 48213, "md5": md5Of(fmt.Sprint(name))})
	d, err := c.create(Doc{
		"payable_origin": "email", "source_of_payable_data": "ocr", "sender": m.From, "ocr_status": "processing", "file": file, "file_id": file["id"],
	})
	if err != nil {
		panic(err) // nothing of it is input
	}
	c.event("payable", "created_from_mail", d)
	a.recognise(entityID, text(d["id"]), schema.Normal(m.Bill))
	return d
}

// inside returns a call for what the API does by itself, such as reading mail.
func (a *API) inside(entityID, template string) *call {
	return &call{
		Request: &Request{Op: a.places[template].methods[http.MethodPost], EntityID: entityID}, api: a, data: a.Store(),
		owner: entityID, path: template, body: Doc{}, query: Doc{},
	}
}

// recognise fills in a payable when its file has been read.
func (a *API) recognise(entityID, id string, said Doc) {
	task := a.newID("ocr_requests")
	_, _ = a.Store().At(entityID, "payables").Update(id, func(d Doc) error {
		d["ocr_request_id"] = task
		return nil
	})
	a.agenda.add(a.now().Add(workTakes), func() {
		c := a.inside(entityID, "payables")
		read := a.reading(entityID, id)
		maps.Copy(read, said)
		d, _ := c.update(c.at("payables"), id, func(d Doc) error {
			if d["ocr_status"] != "processing" {
				return nil
			}
			for name, value := range read {
				if d[name] == nil {
					d[name] = value
				}
			}
			d["ocr_status"] = "success"
			if complete(d) && d["status"] == "draft" {
				d["status"] = "new"
			}
			return changedPayable(c, d)
		})
		if d == nil || d["ocr_status"] != "success" {
			return
		}
		c.api.history(entityID, "payables", id, "payable_updated", nil, Doc{})
		if d["status"] == "new" {
			c.api.history(entityID, "payables", id, "status_changed", nil, Doc{"old_status": "draft", "new_status": "new"})
		}
		c.event("payable", "ocr_finished", d)
	})
}

// reading is the content of a bill from the entity's first supplier.
func (a *API) reading(entityID, id string) Doc {
	now := a.now()
	net := demoAmount(id)
	read := Doc{
		"document_id": "B-" + id[:6], "currency": "EUR", "subtotal": net, "tax": 2000, "tax_amount": net / 5, "total_amount": net + net/5,
		"issued_at": day(now), "due_date": day(now.AddDate(0, 0, 30)), "description": "Wheat flour type 00",
	}
	for _, counterpart := range a.Store().At(entityID, "counterparts").All() {
		if object(counterpart["organization"])["is_vendor"] == true {
			read["counterpart_id"] = counterpart["id"]
			break
		}
	}
	return read
}

func uploadPayable(c *call) (any, error) {
	file := c.keepFile("payables")
	c.path = "payables"
	d, err := c.createAt("payables", Doc{
		"payable_origin": "upload", "source_of_payable_data": "ocr", "ocr_status": "processing", "file": file, "file_id": file["id"],
	})
	if err != nil {
		return nil, err
	}
	c.api.recognise(c.EntityID, text(d["id"]), nil)
	return c.at("payables").Get(text(d["id"])), nil
}

// createAt is create for another collection than that of the path.
func (c *call) createAt(template string, fields Doc) (Doc, error) {
	other := *c
	inside := c.api.inside(c.EntityID, template)
	other.Request, other.owner, other.path, other.chain, other.id = inside.Request, inside.owner, inside.path, nil, ""
	other.EntityUserID = c.EntityUserID
	return other.create(fields)
}

func attachPayable(c *call) (any, error) {
	d, err := c.attach()
	if err == nil {
		file := object(object(d)["file"])
		c.api.history(c.EntityID, "payables", c.id, "file_attached", c.user(), Doc{"file_name": file["name"], "file_size": file["size"], "url": file["url"]})
	}
	return d, err
}

func cancelOCR(c *call) (any, error) {
	return c.touch(func(d Doc) error {
		if d["ocr_status"] != "processing" {
			return c.conflict("The recognition of this document is not under way")
		}
		d["ocr_status"] = "canceled"
		return nil
	})
}

// createOCRTask starts a recognition by itself, which ends by the clock.
func createOCRTask(c *call) (any, error) {
	kind := first(c.body["document_type"], c.query["document_type"], "invoice")
	d, err := c.createAt("ocr_tasks", Doc{"document_type": kind, "status": "processing", "recognized_data": nil})
	if err != nil {
		return nil, err
	}
	id := text(d["id"])
	c.later(func(c *call) {
		m := c.maker(id)
		m.Full = true
		_, _ = c.update(c.at("ocr_tasks"), id, func(d Doc) error {
			d["status"] = "success"
			if recognised := c.api.places["ocr_tasks/{task_id}"].methods["GET"].Response.Property("recognized_data"); recognised != nil {
				for _, s := range recognised.Schema.AnyOf {
					if p := s.Property("type"); p != nil && len(p.Schema.Enum) > 0 && p.Schema.Enum[0] == kind {
						d["recognized_data"] = m.Fill(s)
					}
				}
			}
			return nil
		})
		c.event("ocr_task", "finished", d)
	})
	return d, nil
}

// uploadTo makes a document of an uploaded file, which is read in two seconds.
func uploadTo(collection string, fields Doc) handler {
	return func(c *call) (any, error) {
		file := c.keepFile(collection)
		made := maps.Clone(fields)
		maps.Copy(made, Doc{"source_of_data": "ocr", "ocr_status": "processing", "file": file, "file_id": file["id"], "file_url": file["url"]})
		d, err := c.createAt(collection, made)
		if err != nil {
			return nil, err
		}
		id := text(d["id"])
		c.later(func(c *call) {
			_, _ = c.update(c.at(collection), id, func(d Doc) error {
				if d["ocr_status"] != "processing" {
					return nil
				}
				for name, value := range c.api.reading(c.EntityID, id) {
					if p := c.api.places[collection].item.Property(name); p != nil && d[name] == nil {
						d[name], _ = c.maker(id).Project(p.Schema, value)
					}
				}
				d["ocr_status"] = "success"
				return nil
			})
		})
		return d, nil
	}
}

func suggestions(c *call) (any, error) {
	for _, counterpart := range c.at("counterparts").All() {
		return Doc{"suggested_counterpart": Doc{"id": counterpart["id"], "address_id": counterpart["default_billing_address_id"]}}, nil
	}
	return Doc{}, nil
}
