package resources

import "math"

func init() {
	const lines = "payables/{payable_id}/line_items"
	behave(map[string]*kind{
		lines: {object: "payable.line_item", fill: fillLine, changed: fillLine},
		"payable_credit_notes/{credit_note_id}/line_items": {fill: fillLine, changed: fillLine},
		"receipts/{receipt_id}/line_items":                 {fill: fillLine, changed: fillLine},
	}, map[string]handler{
		"POST " + lines:                       summed((*call).createLine),
		"PUT " + lines:                        summed(replaceLines),
		"PATCH " + lines + "/{line_item_id}":  summed((*call).item),
		"DELETE " + lines + "/{line_item_id}": summed((*call).item),

		"PUT payable_credit_notes/{credit_note_id}/line_items":                   replaceLines,
		"DELETE payable_credit_notes/{credit_note_id}/line_items/{line_item_id}": removeCreditLine,
	})
}

func (c *call) createLine() (any, error) { return c.create(c.body) }

// fillLine computes a line: tax is in hundredths of a percent.
func fillLine(_ *call, d Doc) error {
	if d["quantity"] == nil {
		d["quantity"] = 1
	}
	subtotal := int(math.Round(float(d["quantity"]) * float(d["unit_price"])))
	if d["unit_price"] == nil {
		subtotal = number(d["subtotal"])
	}
	tax := int(math.Round(float64(subtotal) * float(d["tax"]) / 10_000))
	d["subtotal"], d["tax_amount"], d["total"] = subtotal, tax, subtotal+tax
	return nil
}

// summed lets the payable's amounts follow from its lines. It is refused when
// the payable is no longer open.
func summed(handle handler) handler {
	return func(c *call) (any, error) {
		id := c.param("payable_id")
		rows := c.at("payables")
		if err := openPayable(c, rows.Get(id)); err != nil {
			return nil, err
		}
		value, err := handle(c)
		if err != nil {
			return nil, err
		}
		_, err = c.update(rows, id, func(d Doc) error {
			subtotal, tax := 0, 0 // added up here: of two changes at once, the last one counts both
			for _, line := range c.at("payables/" + id + "/line_items").All() {
				subtotal += number(line["subtotal"])
				tax += number(line["tax_amount"])
			}
			d["subtotal"], d["tax_amount"], d["total_amount"] = subtotal, tax, subtotal+tax-number(d["discount"])
			return changedPayable(c, d)
		})
		return value, err
	}
}

func replaceLines(c *call) (any, error) {
	rows := c.rowsAt(c.path)
	rows.Clear()
	lines := []any{}
	for _, fields := range list(c.body["data"]) {
		d := without(fields)
		c.stamp(d)
		_ = fillLine(c, d)
		rows.Add(d)
		lines = append(lines, d)
	}
	return Doc{"data": lines}, nil
}

// removeCreditLine responds with the remaining lines, as published.
func removeCreditLine(c *call) (any, error) {
	if _, err := c.remove(); err != nil {
		return nil, err
	}
	return Doc{"data": c.rows().All(), "next_pagination_token": nil, "prev_pagination_token": nil}, nil
}
