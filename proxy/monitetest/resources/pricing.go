package resources

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// pricer knows what the lines of an invoice refer to.
type pricer struct {
	product func(id string) Doc
	unit    func(id string) Doc
	rate    func(line Doc) vatRate
	country string
}

// vatRate is a rate in hundredths of a percent.
type vatRate struct {
	id, name string
	value    int
	custom   bool
}

func (c *call) pricer() *pricer {
	return &pricer{
		product: func(id string) Doc { return c.at("products").Get(id) },
		unit:    func(id string) Doc { return c.at("measure_units").Get(id) },
		rate:    c.rateOf,
		country: text(first(object(c.entity()["address"])["country"], "IT")),
	}
}

func (c *call) rateOf(line Doc) vatRate {
	if id := text(line["custom_vat_rate_id"]); id != "" {
		rate := c.at("custom_vat_rates").Get(id)
		value := 0
		for _, component := range list(rate["components"]) {
			value += number(component["value"])
		}
		return vatRate{id: id, name: text(rate["name"]), value: value, custom: true}
	}
	if id := text(line["vat_rate_id"]); id != "" {
		return vatRate{id: id, value: number(c.at("vat_rates").Get(id)["value"])}
	}
	return taxRate(line)
}

// taxRate is the rate that a line says itself.
func taxRate(line Doc) vatRate {
	return vatRate{name: text(line["tax_rate_name"]), value: number(line["tax_rate_value"])}
}

// priceLines makes lines as they are shown of lines as they were sent: with
// their product and totals. Lines that are priced already stay.
func priceLines(d Doc, p *pricer) *schema.Problem {
	lines := []any{}
	for i, line := range list(d["line_items"]) {
		if line["total_before_vat"] != nil {
			lines = append(lines, line)
			continue
		}
		product := p.product(text(line["product_id"]))
		inline := product == nil
		if inline {
			product = object(line["product"])
		}
		if product == nil {
			return &schema.Problem{Loc: []any{"body", "line_items", i, "product_id"}, Msg: "product or product_id is required", Type: "value_error.missing"}
		}
		lines = append(lines, p.price(d, line, product, inline))
	}
	d["line_items"] = lines
	return nil
}

func (p *pricer) price(d, line, product Doc, inline bool) Doc {
	rate := p.rate(line)
	price := object(product["price"])
	unit := number(price["value"])
	if line["price"] != nil {
		unit = number(line["price"])
	}
	currency := cmp.Or(text(price["currency"]), text(d["currency"]))
	gross := round(float(line["quantity"]) * float64(unit))
	gross -= discountOf(line["discount"], gross)
	before, after := gross, gross+round(float64(gross*rate.value)/10_000)
	afterUnit := unit + round(float64(unit*rate.value)/10_000)
	if d["vat_mode"] == "inclusive" {
		before, after = round(float64(gross)*10_000/float64(10_000+rate.value)), gross
		afterUnit = unit
	}
	shownRate := Doc{"country": p.country, "value": rate.value, "is_custom": rate.custom}
	if rate.id != "" {
		shownRate["id"] = rate.id
	}
	if rate.name != "" {
		shownRate["name"] = rate.name
	}
	shown := Doc{
		"id": first(product["id"], demoID(text(product["name"])+currency)), "name": product["name"], "is_inline": inline, "type": first(product["type"], "product"),
		"price": Doc{"currency": currency, "value": unit}, "price_after_vat": Doc{"currency": currency, "value": afterUnit}, "vat_rate": shownRate,
		"measure_unit": first(product["measure_unit"], unitOf(p, product)),
	}
	for _, name := range []string{"description", "external_reference", "ledger_account_id", "smallest_amount"} {
		if product[name] != nil {
			shown[name] = product[name]
		}
	}
	out := Doc{"product": shown, "quantity": line["quantity"], "total_before_vat": before, "total_after_vat": after}
	if line["discount"] != nil {
		out["discount"] = line["discount"]
	}
	return out
}

func unitOf(p *pricer, product Doc) any {
	if p.unit != nil {
		if unit := p.unit(text(product["measure_unit_id"])); unit != nil {
			return Doc{"id": unit["id"], "name": unit["name"], "description": unit["description"]}
		}
	}
	return Doc{"name": "unit"}
}

func round(value float64) int { return int(math.Round(value)) }

// discountOf returns the amount of a discount: an amount, or hundredths of a percent.
func discountOf(discount any, amount int) int {
	d := object(discount)
	if d == nil {
		return 0
	}
	off := number(d["amount"])
	if d["type"] == "percentage" {
		off = round(float64(amount) * float64(off) / 10_000)
	}
	return min(off, amount)
}

// addTotals adds up the lines. The document's discount is taken off before
// VAT, in proportion.
func addTotals(d Doc) {
	subtotal := 0
	taxable, ids := map[int]int{}, map[int]any{}
	for _, line := range list(d["line_items"]) {
		rate := object(object(line["product"])["vat_rate"])
		value := number(rate["value"])
		subtotal += number(line["total_before_vat"])
		taxable[value] += number(line["total_before_vat"])
		ids[value] = rate["id"]
	}
	off := discountOf(d["discount"], subtotal)
	discounted := subtotal - off
	vat, amounts := 0, []any{}
	for _, value := range slices.Sorted(maps.Keys(taxable)) {
		base := taxable[value]
		if subtotal > 0 {
			base = round(float64(base) * float64(discounted) / float64(subtotal))
		}
		amount := round(float64(base*value) / 10_000)
		vat += amount
		shown := Doc{"amount": amount, "taxable_amount": base, "value": value}
		if ids[value] != nil {
			shown["id"] = ids[value]
		}
		amounts = append(amounts, shown)
	}
	withheld := round(float64(discounted*number(d["withholding_tax_rate"])) / 10_000)
	total := discounted + vat - withheld - number(d["deduction_amount"])
	d["subtotal"], d["discounted_subtotal"], d["total_vat_amount"], d["subtotal_after_vat"] = subtotal, discounted, vat, discounted+vat
	d["total_withholding_tax"], d["total_vat_amounts"], d["total_amount"] = withheld, amounts, total
	if discount := object(d["discount"]); discount != nil {
		d["discount"] = Doc{"amount": discount["amount"], "type": discount["type"], "value": off}
	}
	setOwed(d, total-number(d["_credited"]))
}
