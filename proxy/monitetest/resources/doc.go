// Package resources is the simulated Monite itself: every published operation, on
// state that adds up.
//
// # The walk of a call
//
// API.Do (generic.go) judges query and body by the document (body.go), finds
// the document of the path (call.go), refuses ids that lead nowhere
// (references.go, refusal.go), and then does what the operation says. Most
// operations need no code of their own: place.go tells a collection from an
// item and an action by the shape of the path, views.go serves what is neither
// collection nor item, lists.go filters, sorts and pages with the fields of
// fields.go, and render.go makes the response of the state by its schema.
//
// # Behaviour
//
// life.go does the actions that change a status, from the tables of the resources. A
// resource with rules has a file: payables.go with payable_lines.go and
// ocr.go, purchasing.go, approvals.go with scripts.go, payments.go; receivables.go with
// pricing.go, numbers.go, receivable_life.go, mails.go and recurrences.go;
// counterparts.go, entities.go, people.go, catalogue.go, templates.go and
// reports.go.
//
// # What happens by itself
//
// agenda.go does what is due by the API's own clock, events.go records what happened and
// keeps the subscribers, and webhooks.go notifies them, if delivery is on.
//
// # What it begins with
//
// demo.go, demo_companies.go and demo_documents.go are three companies that do
// not exist; seed.go makes the rest of their documents of the schemas, and
// imports.go reads other people's data instead. api.go puts it together.
package resources
