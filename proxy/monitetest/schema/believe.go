package schema

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Timestamp writes times as Monite does.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000+00:00") }

// FixedUUID makes a UUID of a name, always the same one.
func FixedUUID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return UUID([16]byte(sum[:16]))
}

// UUID makes 16 bytes a version 4 UUID.
func UUID(b [16]byte) string {
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var out [36]byte
	hex.Encode(out[:], b[:4])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	hex.Encode(out[9:], b[4:6])
	hex.Encode(out[14:], b[6:8])
	hex.Encode(out[19:], b[8:10])
	hex.Encode(out[24:], b[10:])
	return string(out[:])
}

// pick chooses one of n, always the same for a name of this object.
func (m *Maker) pick(name string, n int) int {
	sum := sha256.Sum256([]byte(m.Seed + "\x00" + name))
	return int(binary.BigEndian.Uint32(sum[:]) % uint32(n))
}

// usual are the members of enumerations that a quiet company has most of.
var usual = []string{
	"EUR", "IT", "en", "active", "enabled", "organization", "payable", "invoice", "receivable", "eu_vat", "succeeded", "created", "success", "settled",
}

func (m *Maker) text(s *Schema, name string) string {
	if len(s.Enum) > 0 {
		for _, value := range usual {
			if slices.Contains(s.Enum, value) {
				return value
			}
		}
		return s.Enum[0]
	}
	if text, ok := m.formatted(s.Format, name); ok {
		return text
	}
	text := m.named(name)
	if s.MaxLength != nil && len(text) > *s.MaxLength {
		text = text[:*s.MaxLength]
	}
	for len(text) < s.MinLength {
		text += "0"
	}
	if s.Pattern != "" && !pattern(s.Pattern).MatchString(text) {
		text = strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
				return r
			}
			return -1
		}, text)
	}
	return text
}

func (m *Maker) formatted(format, name string) (string, bool) {
	switch format {
	case "uuid":
		return FixedUUID(m.Seed + "/" + name), true
	case "date":
		day := m.Now
		if strings.Contains(name, "due") || strings.Contains(name, "end") || strings.Contains(name, "planned") {
			day = day.AddDate(0, 0, 30)
		}
		if strings.Contains(name, "birth") {
			day = time.Date(1984, 5, 17, 0, 0, 0, 0, time.UTC)
		}
		return day.UTC().Format(time.DateOnly), true
	case "date-time":
		return Timestamp(m.Now), true
	case "email":
		return "office@aurora.example", true
	case "uri":
		return "https://files.monite-sim.invalid/" + strings.Trim(name, "_") + "/" + FixedUUID(m.Seed+name), true
	case "hostname":
		return "mail.aurora.example", true
	case "ipvanyaddress":
		return "192.0.2.17", true
	case "color":
		return "#1f6feb", true
	}
	return "", false
}

// believable are texts by the name of their field, or by its end.
var believable = map[string][]string{
	"currency": {"EUR"}, "country": {"IT"}, "nationality": {"IT"}, "language": {"en"}, "city": {"Bologna", "Parma"}, "line1": {"Via San Felice 48"},
	"line2": {"2nd floor"}, "postal_code": {"40122"}, "state": {"BO"}, "phone": {"+390515550142"}, "first_name": {"Giulia", "Marco"}, "last_name": {"Ferri", "Conti"},
	"title": {"Manager"}, "legal_name": {"Mulino Rossi S.p.A."}, "counterpart_name": {"Mulino Rossi S.p.A."}, "iban": {"IT60X0542811101000000123456"},
	"bic": {"BLOPIT22"}, "bank_name": {"Banca di Bologna"}, "account_number": {"000000123456"}, "account_holder_name": {"Mulino Rossi S.p.A."},
	"sort_code": {"123456"}, "routing_number": {"011000015"}, "last4": {"3456"}, "document_id": {"2026-0042"}, "description": {"Wheat flour type 00"},
	"memo": {"Thank you for your order"}, "subject": {"Your invoice"}, "body": {"Please find the document attached."}, "code": {"P100"}, "unit": {"unit"},
	"vat_id": {"IT03512340377"}, "value": {"IT03512340377"}, "tax_id": {"IT03512340377"}, "login": {"giulia.ferri"}, "url": {"https://files.monite-sim.invalid/document"},
	"website": {"https://aurora.example"}, "mimetype": {"application/pdf"}, "md5": {"9e107d9d372bb6826bd81d3542a419d6"}, "region": {"eu-central-1"},
	"file_type": {"payables"}, "s3_bucket": {"monite-sim"}, "color": {"#1f6feb"}, "action": {"created"}, "message": {"Done"}, "text": {"Please check the amount."},
	"secret": {"whsec_c2ltdWxhdGVk"}, "token": {"sim-token"}, "dns_name": {"mail.aurora.example"}, "domain": {"mail.aurora.example"}, "timezone": {"Europe/Rome"},
	"email": {"office@aurora.example"}, "mcc": {"5812"}, "api_version": {"2024-05-25"}, "field_name": {"cost_center"}, "field_value": {"bakery"},
	"mailbox_name": {"invoices"}, "mailbox_full_address": {"invoices@mail.aurora.example"}, "template": {"<html></html>"}, "nominal_code": {"4000"},
}

func (m *Maker) named(name string) string {
	if texts := believable[name]; len(texts) > 0 {
		return texts[m.pick(name, len(texts))]
	}
	for _, end := range []string{"currency", "country", "first_name", "last_name", "iban", "phone", "email", "url", "code", "document_id", "description", "vat_id"} {
		if strings.HasSuffix(name, "_"+end) {
			return believable[end][0]
		}
	}
	switch {
	case strings.HasSuffix(name, "_id"), name == "id":
		return FixedUUID(m.Seed + "/" + name)
	case strings.HasSuffix(name, "_at"), strings.HasSuffix(name, "_date"):
		return m.Now.UTC().Format(time.DateOnly)
	case name == "name", strings.HasSuffix(name, "_name"):
		return []string{"Flour and grain", "Bakery", "Energy", "Maintenance"}[m.pick(name, 4)]
	case name == "":
		return "text"
	}
	return strings.ToUpper(name[:1]) + strings.ReplaceAll(name[1:], "_", " ")
}

func (m *Maker) number(s *Schema, name string) any {
	number := 0
	switch {
	case strings.Contains(name, "quantity"), strings.Contains(name, "count"), name == "limit", name == "priority":
		number = 1
	case strings.Contains(name, "rate"), name == "tax":
		number = 2000
	case name == "size":
		number = 48213
	case strings.Contains(name, "amount"), strings.Contains(name, "price"), strings.Contains(name, "total"), name == "value":
		number = 4800 + m.pick(name, 9600)*5
	case strings.Contains(name, "days"):
		number = 30
	case strings.Contains(name, "year"):
		number = m.Now.Year()
	}
	if s.Minimum != nil && float64(number) < *s.Minimum {
		number = int(*s.Minimum)
	}
	if s.ExclusiveMin != nil && float64(number) <= *s.ExclusiveMin {
		number = int(*s.ExclusiveMin) + 1
	}
	if s.Maximum != nil && float64(number) > *s.Maximum {
		number = int(*s.Maximum)
	}
	for _, member := range s.Enum {
		if fixed, err := strconv.Atoi(member); err == nil {
			return fixed
		}
	}
	return number
}
