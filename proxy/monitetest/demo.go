package monitetest

import "github.com/monite-proxy/monite-proxy/proxy/monitetest/resources"

// The demo credentials and ids are fixed, so that examples work as printed.
const (
	DemoClientID     = "3c1f5b1e-6d0a-4e4f-9a54-7d1c0b6f2a10"
	DemoClientSecret = "8a0c2f64-51d7-4f1b-8e0e-5b7a9c3d4e21"

	// DemoEntityID is a bakery in Bologna; DemoEntityUserID its administrator
	// and DemoViewerUserID a user who may only read.
	DemoEntityID     = resources.DemoEntityID
	DemoEntityUserID = resources.DemoEntityUserID
	DemoViewerUserID = resources.DemoViewerUserID

	// DemoStudioID is a design studio in Berlin, with an administrator and an
	// accountant who may submit payables but not approve or pay them.
	DemoStudioID         = resources.DemoStudioID
	DemoStudioUserID     = resources.DemoStudioUserID
	DemoAccountantUserID = resources.DemoAccountantUserID

	// DemoLogisticsID is a haulier in Rotterdam, with an administrator and a viewer.
	DemoLogisticsID           = resources.DemoLogisticsID
	DemoLogisticsUserID       = resources.DemoLogisticsUserID
	DemoLogisticsViewerUserID = resources.DemoLogisticsViewerUserID

	// These belong to the bakery: a payable in the status new, a draft of an
	// invoice, a supplier, a chat and a document template.
	DemoPayableID      = resources.DemoPayableID
	DemoReceivableID   = resources.DemoReceivableID
	DemoCounterpartID  = resources.DemoCounterpartID
	DemoConversationID = resources.DemoConversationID
	DemoTemplateID     = resources.DemoTemplateID
)
