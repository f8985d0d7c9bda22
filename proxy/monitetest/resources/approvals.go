package resources

import (
	"net/http"
	"slices"
	"strings"
)

func init() {
	const request = "POST approval_requests/{approval_request_id}/"
	behave(map[string]*kind{
		"approval_policies": {
			object: "approval_policy", fill: func(_ *call, d Doc) error { d["status"] = "active"; return nil },
			below: map[string]string{"process_id": "processes.id"},
		},
		"approval_policies/{approval_policy_id}/processes": {
			life: map[string]transition{"cancel": {from: []string{"running", "waiting"}, to: "canceled"}},
		},
		"approval_requests": {object: "approval_request", fill: fillRequest},
	}, map[string]handler{
		request + "approve": decideRequest("approved"),
		request + "reject":  decideRequest("rejected"),
		request + "cancel":  decideRequest("canceled"),
		"GET approval_policies/{approval_policy_id}/processes/{process_id}/steps": processSteps,
	})
}

func fillRequest(c *call, d Doc) error {
	if kind := text(d["object_type"]); kind == "payable" && c.at("payables").Get(text(d["object_id"])) == nil {
		return c.unknown(kind, text(d["object_id"]), "body", "object_id")
	}
	for _, name := range []string{"user_ids", "role_ids", "approved_by"} {
		if d[name] == nil {
			d[name] = []any{}
		}
	}
	d["status"] = "waiting"
	return nil
}

// startApproval lets the first policy whose trigger fits begin a process with
// the requests of its script. Without a policy the payable waits for
// approve_payment_operation.
func (c *call) startApproval(payable Doc) {
	policy := c.policyFor(payable)
	if policy == nil {
		return
	}
	id := text(payable["id"])
	process := Doc{
		"id": c.api.newID("processes"), "created_at": c.api.timestamp(), "updated_at": c.api.timestamp(), "status": "running", "created_by": c.actor(),
		"input": Doc{"object_id": id, "object_type": "payable"}, "metadata": Doc{}, "script_snapshot": policy["script"],
	}
	calls := callsOf(policy["script"])
	requests := []any{}
	for _, call := range calls {
		params := object(call["params"])
		made, err := c.createAt("approval_requests", Doc{
			"object_id": id, "object_type": "payable", "required_approval_count": max(1, number(params["required_approval_count"])),
			"user_ids": first(params["user_ids"], []any{}), "role_ids": first(params["role_ids"], []any{}), "_policy": policy["id"], "_process": process["id"],
		})
		if err == nil {
			requests = append(requests, made["id"])
		}
	}
	process["_requests"], process["_any"] = requests, strings.Contains(keysOf(policy["script"]), " any ")
	c.at("approval_policies/" + text(policy["id"]) + "/processes").Add(process)
	_, _ = c.update(c.at("payables"), id, func(d Doc) error {
		d["approval_policy_id"] = policy["id"]
		return nil
	})
	if len(calls) == 0 {
		c.endProcess(policy, process, "approved")
	}
}

// policyFor returns the active policy with the highest priority whose trigger
// fits.
func (c *call) policyFor(payable Doc) (found Doc) {
	now := c.api.timestamp()
	for _, policy := range c.at("approval_policies").All() {
		starts, ends := text(policy["starts_at"]), text(policy["ends_at"])
		if policy["status"] != "active" || starts > now || ends != "" && ends < now || !holds(policy["trigger"], payable) ||
			len(callsOf(policy["script"])) == 0 {
			continue
		}
		if found == nil || number(policy["priority"]) > number(found["priority"]) {
			found = policy
		}
	}
	return found
}

// decideRequest approves, rejects or cancels a request, by a user who was asked; a
// partner may decide in place of the first of them.
func decideRequest(decision string) handler {
	return func(c *call) (any, error) {
		d, err := c.touch(func(d Doc) error {
			if d["status"] != "waiting" {
				return c.conflict("The approval request is " + text(d["status"]))
			}
			who, err := c.approver(d)
			if err != nil && decision != "canceled" {
				return err
			}
			switch decision {
			case "approved":
				by := texts(d["approved_by"])
				if slices.Contains(by, who) {
					return c.conflict("The user has approved already")
				}
				by = append(slices.Clone(by), who)
				d["approved_by"] = by
				if len(by) < number(d["required_approval_count"]) {
					return nil
				}
			case "rejected":
				d["rejected_by"] = who
			}
			d["status"] = decision
			return nil
		})
		if err != nil {
			return nil, err
		}
		if d["status"] != "waiting" {
			c.event("approval_request", decision, d)
			c.decided(d)
		}
		return d, nil
	}
}

func (c *call) approver(d Doc) (string, error) {
	users, roles := texts(d["user_ids"]), texts(d["role_ids"])
	if c.EntityUserID == "" {
		for _, user := range c.at("entity_users").All() {
			id := text(user["id"])
			if (slices.Contains(users, id) || slices.Contains(roles, text(user["role_id"]))) && !slices.Contains(texts(d["approved_by"]), id) {
				return id, nil
			}
		}
		return c.actor(), nil
	}
	role := text(c.at("entity_users").Get(c.EntityUserID)["role_id"])
	if !slices.Contains(users, c.EntityUserID) && !slices.Contains(roles, role) {
		return "", &Refusal{Status: http.StatusForbidden, Kind: "forbidden", Message: "The entity user was not asked for this approval"}
	}
	return c.EntityUserID, nil
}

// decided lets the payable follow from its requests.
func (c *call) decided(request Doc) {
	policy := c.at("approval_policies").Get(text(request["_policy"]))
	if policy == nil {
		if request["object_type"] == "payable" && request["status"] != "canceled" {
			c.endApproval(text(request["object_id"]), text(request["status"]), false)
		}
		return
	}
	process := c.at("approval_policies/" + text(policy["id"]) + "/processes").Get(text(request["_process"]))
	approved, rejected, waiting := 0, 0, 0
	for _, id := range texts(process["_requests"]) {
		switch c.at("approval_requests").Get(id)["status"] {
		case "approved":
			approved++
		case "waiting":
			waiting++
		default:
			rejected++
		}
	}
	either := process["_any"] == true
	switch {
	case either && approved > 0, !either && rejected == 0 && waiting == 0:
		c.endProcess(policy, process, "approved")
	case either && waiting == 0, !either && rejected > 0:
		c.endProcess(policy, process, "rejected")
	}
}

// endProcess ends a process and what waits for it.
func (c *call) endProcess(policy, process Doc, decision string) {
	_, _ = c.update(c.at("approval_policies/"+text(policy["id"])+"/processes"), text(process["id"]), func(d Doc) error {
		d["status"] = "succeeded"
		return nil
	})
	payable := text(object(process["input"])["object_id"])
	c.endApproval(payable, decision, strings.Contains(keysOf(policy["script"]), "mark_as_paid"))
	c.closeRequests(payable, "canceled")
}

func (c *call) endApproval(payable, decision string, pay bool) {
	action := "approve_payment_operation"
	if decision == "rejected" {
		action = "reject"
	}
	if err := c.movePayable(payable, action); err == nil && pay && decision == "approved" {
		_ = c.movePayable(payable, "mark_as_paid")
	}
}

// closeRequests ends the requests that still wait for a payable.
func (c *call) closeRequests(payable, status string) {
	for _, request := range c.at("approval_requests").All() {
		if request["object_id"] == payable && request["status"] == "waiting" {
			_, _ = c.update(c.at("approval_requests"), text(request["id"]), func(d Doc) error {
				d["status"] = status
				return nil
			})
		}
	}
}

func processSteps(c *call) (any, error) {
	process := c.at("approval_policies/" + c.param("approval_policy_id") + "/processes").Get(c.param("process_id"))
	steps := []any{}
	for _, id := range texts(process["_requests"]) {
		request := without(c.at("approval_requests").Get(id), "id")
		request["approval_request_id"] = id
		steps = append(steps, request)
	}
	return Doc{"data": steps}, nil
}
