// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// conditionFunc is a function that conditions have.
type conditionFunc struct {
	params  []string
	compile func(c *compiler, x *hclsyntax.FunctionCallExpr, args []operand) (operand, bool)
	doc     string
}

// conditionFuncs is what a `when` may call with facts.
func conditionFuncs() map[string]conditionFunc {
	return map[string]conditionFunc{
		"cidr_contains": {[]string{"network", "ip"}, compileCIDR, "the address lies in the network"},
		"contains":      {[]string{"list", "text"}, compileContains, "the list holds the text"},
		"matches":       {[]string{"regexp", "text or list"}, compileMatches, "the regular expression (RE2) matches the text, or one of the list"},
		"starts_with":   {[]string{"text", "start"}, textTest("starts_with", strings.HasPrefix), "the text starts so"},
		"ends_with":     {[]string{"text", "end"}, textTest("ends_with", strings.HasSuffix), "the text ends so"},
		"lower":         {[]string{"text"}, compileLower, "the text in lower case"},
		"length":        {[]string{"list"}, compileLength, "the number of items"},
	}
}

// callsOwn reports whether x calls a function that only conditions have.
func (c *compiler) callsOwn(x hclsyntax.Expression) bool {
	own := conditionFuncs()
	maps.DeleteFunc(own, func(name string, _ conditionFunc) bool {
		_, general := c.functions.Functions[name]
		return general
	})
	return calls(x, slices.Collect(maps.Keys(own))...)
}

func (c *compiler) call(x *hclsyntax.FunctionCallExpr) (operand, bool) {
	f, ok := conditionFuncs()[x.Name]
	if !ok {
		c.fault(x.NameRange, fmt.Sprintf("there is no function %q that takes facts", x.Name), expected(x.Name, slices.Sorted(maps.Keys(conditionFuncs()))))
		return operand{}, false
	}
	if len(x.Args) != len(f.params) || x.ExpandFinal {
		c.fault(x.Range(), fmt.Sprintf("%s takes %d arguments, not %d", x.Name, len(f.params), len(x.Args)), fmt.Sprintf("expected %s(%s)", x.Name, strings.Join(f.params, ", ")))
		return operand{}, false
	}
	args := make([]operand, len(x.Args))
	for i, arg := range x.Args {
		o, okArg := c.operand(arg)
		args[i], ok = o, ok && okArg
	}
	if !ok {
		return operand{}, false
	}
	o, ok := f.compile(c, x, args)
	o.key = c.sourceText(x.Range())
	if ok && o.kind == kindBool {
		o.decide.key = o.key
	}
	return o, ok
}

// badArgument reports argument i of a call.
func (c *compiler) badArgument(x *hclsyntax.FunctionCallExpr, i int, why string) (operand, bool) {
	f := conditionFuncs()[x.Name]
	c.fault(x.Args[i].Range(), fmt.Sprintf("%s: %s", x.Name, why), fmt.Sprintf("expected %s(%s)", x.Name, strings.Join(f.params, ", ")))
	return operand{}, false
}

func decision(atom func(Lookup) (bool, error)) operand {
	return operand{kind: kindBool, decide: &test{atom: atom}}
}

func compileCIDR(c *compiler, x *hclsyntax.FunctionCallExpr, args []operand) (operand, bool) {
	if !args[0].constant || args[0].kind != kindString {
		return c.badArgument(x, 0, "the network must be a text that does not depend on facts")
	}
	text, _ := args[0].text(nil)
	network, err := parsePrefix(text)
	if err != nil {
		return c.badArgument(x, 0, err.Error())
	}
	if !args[1].isIP {
		return c.badArgument(x, 1, "the second argument must be client.ip")
	}
	return decision(func(facts Lookup) (bool, error) {
		ip, err := ipFact(facts)
		return err == nil && network.Contains(ip), err
	}), true
}

func compileContains(c *compiler, x *hclsyntax.FunctionCallExpr, args []operand) (operand, bool) {
	list, text := args[0], args[1]
	if list.kind != kindList {
		return c.badArgument(x, 0, list.key+" is not a list")
	}
	if text.kind != kindString {
		return c.badArgument(x, 1, text.key+" is not a text")
	}
	if list.constant && text.constant {
		return c.badArgument(x, 0, "it does not depend on facts")
	}
	return decision(func(facts Lookup) (bool, error) {
		want, err := text.text(facts)
		if err != nil {
			return false, err
		}
		items, err := list.list(facts)
		return slices.Contains(items, want), err
	}), true
}

func compileMatches(c *compiler, x *hclsyntax.FunctionCallExpr, args []operand) (operand, bool) {
	if !args[0].constant || args[0].kind != kindString {
		return c.badArgument(x, 0, "the regular expression must be a text that does not depend on facts")
	}
	text, _ := args[0].text(nil)
	re, err := regexp.Compile(text)
	if err != nil {
		return c.badArgument(x, 0, err.Error())
	}
	subject := args[1]
	if subject.constant {
		return c.badArgument(x, 1, "it does not depend on facts")
	}
	switch subject.kind {
	case kindString:
		return decision(func(facts Lookup) (bool, error) {
			s, err := subject.text(facts)
			return err == nil && re.MatchString(s), err
		}), true
	case kindList:
		return decision(func(facts Lookup) (bool, error) {
			items, err := subject.list(facts)
			return slices.ContainsFunc(items, re.MatchString), err
		}), true
	}
	return c.badArgument(x, 1, subject.key+" is neither a text nor a list")
}

func textTest(name string, decide func(s, part string) bool) func(*compiler, *hclsyntax.FunctionCallExpr, []operand) (operand, bool) {
	return func(c *compiler, x *hclsyntax.FunctionCallExpr, args []operand) (operand, bool) {
		for i, a := range args {
			if a.kind != kindString {
				return c.badArgument(x, i, a.key+" is not a text")
			}
		}
		if args[0].constant && args[1].constant {
			return c.badArgument(x, 0, name+" does not depend on facts here")
		}
		return decision(both(args[0].text, args[1].text, decide)), true
	}
}

func compileLower(c *compiler, x *hclsyntax.FunctionCallExpr, args []operand) (operand, bool) {
	text := args[0].text
	if args[0].kind != kindString {
		return c.badArgument(x, 0, args[0].key+" is not a text")
	}
	return operand{kind: kindString, constant: args[0].constant, text: func(facts Lookup) (string, error) {
		s, err := text(facts)
		return strings.ToLower(s), err
	}}, true
}

func compileLength(c *compiler, x *hclsyntax.FunctionCallExpr, args []operand) (operand, bool) {
	list := args[0].list
	if args[0].kind != kindList {
		return c.badArgument(x, 0, args[0].key+" is not a list")
	}
	return operand{kind: kindNumber, constant: args[0].constant, number: func(facts Lookup) (int64, error) {
		items, err := list(facts)
		return int64(len(items)), err
	}}, true
}
