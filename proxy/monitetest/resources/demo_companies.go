package resources

// demoEntities are three companies that do not exist.
var demoEntities = []demoEntity{
	{
		id: DemoEntityID, name: "Panificio Aurora S.r.l.", email: "office@panificio-aurora.example", phone: "+390515550142",
		taxID: "IT03512340377", website: "https://panificio-aurora.example", address: address("Via San Felice 48", "40122", "Bologna", "IT"),
		users: [2]demoUser{
			{DemoEntityUserID, "Giulia", "Ferri", "Administrator"},
			{DemoViewerUserID, "Marco", "Conti", "Viewer"},
		},
		parties: [4]demoParty{
			{"Mulino Rossi S.p.A.", "fatture@mulino-rossi.example", "IT01587420341", true, address("Strada dei Mercati 9", "43126", "Parma", "IT")},
			{"Caseificio Val d'Enza", "conti@valdenza.example", "IT02266180354", true, address("Via Emilia Est 112", "42121", "Reggio Emilia", "IT")},
			{"Hotel Porta Galliera", "acquisti@portagalliera.example", "IT02914760376", false, address("Via Indipendenza 71", "40121", "Bologna", "IT")},
			{"Bistrot Canal S.A.S.", "compta@bistrot-canal.example", "FR41520118842", false, address("14 Quai de Valmy", "75010", "Paris", "FR")},
		},
		bills:    []string{"Wheat flour type 00, 2 t", "Butter and cream", "Oven maintenance", "Electricity", "Paper bags, printed", "Olive oil, 200 l"},
		sales:    []string{"Daily bread delivery", "Breakfast pastries", "Catering for a conference", "Panettone, 120 pieces"},
		payables: 16, receivables: 12,
	},
	{
		id: DemoStudioID, name: "Kontor Blau Design GmbH", email: "office@kontor-blau.example", phone: "+493055501880",
		taxID: "DE298117304", website: "https://kontor-blau.example", address: address("Schlesische Straße 27", "10997", "Berlin", "DE"),
		users: [2]demoUser{
			{DemoStudioUserID, "Lena", "Hoffmann", "Administrator"},
			{DemoAccountantUserID, "Jonas", "Weber", "Accountant"},
		},
		parties: [4]demoParty{
			{"Druckerei Morgenrot eG", "rechnung@morgenrot.example", "DE136725110", true, address("Adalbertstraße 4", "10999", "Berlin", "DE")},
			{"Pixelfarm Hosting ApS", "billing@pixelfarm.example", "DK38114402", true, address("Vesterbrogade 112", "1620", "København", "DK")},
			{"Stadtwerke Havelufer AG", "einkauf@havelufer.example", "DE811209374", false, address("Uferweg 1", "14467", "Potsdam", "DE")},
			{"Galerie Lindqvist AB", "faktura@lindqvist.example", "SE556702118401", false, address("Götgatan 33", "11621", "Stockholm", "SE")},
		},
		bills:    []string{"Offset print, 5,000 brochures", "Hosting, yearly", "Font licences", "Studio rent", "Photo shoot"},
		sales:    []string{"Brand book", "Website redesign, milestone 2", "Exhibition catalogue", "Icon set"},
		payables: 12, receivables: 9,
	},
	{
		id: DemoLogisticsID, name: "Maasdelta Logistics B.V.", email: "office@maasdelta.example", phone: "+31105550199",
		taxID: "NL861204417B01", website: "https://maasdelta.example", address: address("Waalhaven Oostzijde 85", "3087 BM", "Rotterdam", "NL"),
		users: [2]demoUser{
			{DemoLogisticsUserID, "Sanne", "de Vries", "Administrator"},
			{DemoLogisticsViewerUserID, "Daan", "Visser", "Viewer"},
		},
		parties: [4]demoParty{
			{"Brandstof Zuid B.V.", "facturen@brandstofzuid.example", "NL810552291B01", true, address("Dorpsweg 210", "3083 LK", "Rotterdam", "NL")},
			{"TruckCare Antwerpen NV", "invoices@truckcare.example", "BE0447882106", true, address("Noorderlaan 77", "2030", "Antwerpen", "BE")},
			{"Bloemenveiling Westland", "crediteuren@westlandveiling.example", "NL004412883B01", false, address("Middel Broekweg 29", "2675 KB", "Honselersdijk", "NL")},
			{"Conservas Ría Alta S.L.", "cuentas@riaalta.example", "ESB36884410", false, address("Rúa do Porto 12", "36202", "Vigo", "ES")},
		},
		bills:    []string{"Diesel, 12,000 l", "Tyres, 8 pieces", "Toll, monthly", "Trailer lease", "Warehouse cleaning"},
		sales:    []string{"Rotterdam - Vigo, refrigerated", "Container drayage, 6 moves", "Storage, 140 pallets", "Customs clearance"},
		payables: 12, receivables: 9,
	},
}
