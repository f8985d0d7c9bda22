package resources

import (
	"slices"
	"strconv"
	"strings"
)

// callsOf finds the requests for approval in a script, wherever they stand.
func callsOf(script any) (calls []Doc) {
	switch script := script.(type) {
	case []any:
		for _, part := range script {
			calls = append(calls, callsOf(part)...)
		}
	case Doc:
		if strings.HasPrefix(text(script["call"]), "ApprovalRequests.request_approval_by_") {
			return []Doc{script}
		}
		for _, name := range []string{"if", "all", "any", "then"} {
			calls = append(calls, callsOf(script[name])...)
		}
	}
	return calls
}

// keysOf lists the words of a script, for a look at its form.
func keysOf(script any) (keys string) {
	switch script := script.(type) {
	case []any:
		for _, part := range script {
			keys += keysOf(part)
		}
	case Doc:
		for name, part := range script {
			keys += " " + name + " " + keysOf(part)
		}
	case string:
		keys = " " + script + " "
	}
	return keys
}

// holds evaluates a trigger. What it does not understand holds.
func holds(trigger any, payable Doc) bool {
	switch trigger := trigger.(type) {
	case bool:
		return trigger
	case string:
		return compares(strings.Fields(strings.Trim(trigger, "{} ")), payable)
	case Doc:
		if all, is := trigger["all"].([]any); is {
			return !slices.ContainsFunc(all, func(part any) bool { return !holds(part, payable) })
		}
		if some, is := trigger["any"].([]any); is {
			return slices.ContainsFunc(some, func(part any) bool { return holds(part, payable) })
		}
		if operator := text(trigger["operator"]); operator != "" {
			left := text(first(object(trigger["left_operand"])["name"], trigger["left_operand"]))
			return compares([]string{strings.Trim(left, "{} "), operator, strconv.Itoa(number(trigger["right_operand"]))}, payable)
		}
	}
	return true
}

// compares understands "invoice.amount >= 1000".
func compares(words []string, payable Doc) bool {
	if len(words) != 3 || words[0] != "invoice.amount" && words[0] != "amount" {
		return true
	}
	limit, err := strconv.Atoi(words[2])
	amount := number(payable["total_amount"])
	if err != nil {
		return true
	}
	switch words[1] {
	case ">":
		return amount > limit
	case ">=":
		return amount >= limit
	case "<":
		return amount < limit
	case "<=":
		return amount <= limit
	case "==":
		return amount == limit
	}
	return true
}
