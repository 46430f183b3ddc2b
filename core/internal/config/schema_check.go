// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// secretText is a string that goes to the plugin but is not printed.
type secretText string

// object checks a block or object l against s and fills in the defaults. The
// values are those of JSON: string, secretText, int64, float64, bool, []any
// and map[string]any.
func (d *decoder) object(l lit, s *schema) (map[string]any, bool) {
	out := map[string]any{}
	good := d.knownKeys(l, s)
	good = d.requiredKeys(l, s) && good
	for i, k := range l.keys {
		prop := s.Properties[k.name]
		if prop == nil {
			continue
		}
		v, ok := d.property(k.name, l.items[i], prop)
		out[k.name], good = v, good && ok
	}
	s.fill(out)
	return out, good
}

// fill adds the defaults of properties that are not in out.
func (s *schema) fill(out map[string]any) {
	for name, prop := range s.Properties {
		if _, ok := out[name]; !ok && len(prop.Default) > 0 {
			out[name], _ = prop.defaultValue() // its error was found with the schema
		}
	}
}

func (l lit) hasKey(name string) bool {
	return slices.ContainsFunc(l.keys, func(k key) bool { return k.name == name })
}

func (d *decoder) knownKeys(l lit, s *schema) bool {
	good := true
	for _, k := range l.keys {
		if s.Properties[k.name] == nil {
			d.fault(k.rng, fmt.Sprintf("the plugin's config has no %q here", k.name), expected(k.name, s.names()))
			good = false
		}
	}
	return good
}

func (d *decoder) requiredKeys(l lit, s *schema) bool {
	good := true
	for _, name := range s.Required {
		if !l.hasKey(name) {
			d.fault(l.rng, fmt.Sprintf("the plugin's config needs %s here", name), s.Properties[name].describe(name))
			good = false
		}
	}
	return good
}

// describe says what a property is for and how it is written.
func (s *schema) describe(name string) string {
	text := "expected " + name + " = " + s.want()
	if s.isBlock() {
		text = "expected " + name + " { … }"
	}
	if s.Description != "" {
		text += "\n" + s.Description
	}
	return text
}

// want says what a value must be.
func (s *schema) want() string {
	switch {
	case len(s.Enum) > 0:
		return oneOf(s.options())
	case s.Format != "":
		return formats()[s.Format].want
	}
	switch s.Type {
	case "string":
		return "a string"
	case "integer":
		return "a whole number" + s.bounds()
	case "number":
		return "a number" + s.bounds()
	case "boolean":
		return "true or false"
	case "array":
		return "a list, each of it " + s.Items.want()
	}
	if v := s.values(); v != nil {
		return "an object { \"key\" = value }, each value " + v.want()
	}
	return "a block"
}

func (s *schema) bounds() string {
	text := ""
	if s.Minimum != nil {
		text += fmt.Sprintf(" from %v", *s.Minimum)
	}
	if s.Maximum != nil {
		text += fmt.Sprintf(" up to %v", *s.Maximum)
	}
	return text
}

func (s *schema) options() []string {
	out := make([]string, len(s.Enum))
	for i, e := range s.Enum {
		b, _ := json.Marshal(e)
		out[i] = string(b)
	}
	return out
}

// property checks one argument, or all blocks of one name.
func (d *decoder) property(name string, l lit, s *schema) (any, bool) {
	if l.blocks() && s.Type != "array" {
		if len(l.items) > 1 {
			d.fault(l.items[1].rng, "there is a second "+name+" block", "expected one")
			return nil, false
		}
		l = l.items[0]
	}
	return d.checked(name, l, s)
}

// blocks reports whether l is the list of all blocks of one name.
func (l lit) blocks() bool { return l.form == list && len(l.items) > 0 && l.items[0].block }

// checked returns the JSON value of l.
func (d *decoder) checked(name string, l lit, s *schema) (any, bool) {
	switch {
	case s.Type == "array":
		return d.checkedList(name, l, s)
	case s.Type == "object" && s.values() != nil:
		return d.checkedMap(name, l, s)
	case s.Type == "object":
		return d.checkedObject(name, l, s)
	}
	return d.checkedScalar(name, l, s)
}

func (d *decoder) checkedList(name string, l lit, s *schema) (any, bool) {
	if l.blocks() && !s.isBlock() {
		l = l.items[0]
	}
	if l.form != list {
		d.mismatch(name, l, s.want())
		return nil, false
	}
	out, good := make([]any, 0, len(l.items)), true
	for _, item := range l.items {
		v, ok := d.checked(name, item, s.Items)
		out, good = append(out, v), good && ok
	}
	return out, good
}

func (d *decoder) checkedMap(name string, l lit, s *schema) (any, bool) {
	if l.form != mapping {
		d.mismatch(name, l, s.want())
		return nil, false
	}
	out, good := map[string]any{}, true
	for i, k := range l.keys {
		v, ok := d.checked(name+" "+quote(k.name), l.items[i], s.values())
		out[k.name], good = v, good && ok
	}
	return out, good
}

func (d *decoder) checkedObject(name string, l lit, s *schema) (any, bool) {
	if l.form != mapping {
		d.mismatch(name, l, "a block: "+name+" { … }")
		return nil, false
	}
	return d.object(l, s)
}

func (d *decoder) checkedScalar(name string, l lit, s *schema) (any, bool) {
	if f, ok := formats()[s.Format]; ok && f.what != "" && l.form == reference {
		return d.resolve(name, f.what, l)
	}
	if l.form == reference {
		return d.resolveAny(name, l, s)
	}
	v, err := s.scalar(l)
	switch {
	case errors.Is(err, errType):
		d.mismatch(name, l, s.want())
	case err != nil:
		d.invalid(name, l, err, s.want())
	}
	if text, ok := v.(string); ok && l.secret {
		return secretText(text), err == nil
	}
	return v, err == nil
}

// resolveAny reads a reference where the schema asks for a plain string: the
// name of the block it leads to.
func (d *decoder) resolveAny(name string, l lit, s *schema) (any, bool) {
	if s.Type == "string" && l.steps == 2 && slices.Contains([]string{"bucket", "store", "route"}, l.root) {
		return d.resolve(name, l.root, l)
	}
	d.mismatch(name, l, s.want())
	return nil, false
}

// errType says that a value is of another type than its schema's.
var errType = errors.New("wrong type")

// scalar converts l to the type and format of s.
func (s *schema) scalar(l lit) (any, error) {
	if l.form != scalar {
		return nil, errType
	}
	if f, ok := formats()[s.Format]; ok {
		text, isText := l.text()
		if !isText {
			return nil, errType
		}
		return f.parse(text)
	}
	v, err := s.plain(l)
	if err == nil && !s.allows(v) {
		err = errType
	}
	return v, err
}

func (s *schema) plain(l lit) (any, error) {
	switch s.Type {
	case "boolean":
		if b, ok := truth(l); ok {
			return b, nil
		}
	case "integer":
		if n, ok := wholeNumber(l); ok {
			return n, nil
		}
	case "number":
		if n, err := convert.Convert(l.value, cty.Number); err == nil && l.value.Type() != cty.Bool {
			f, _ := n.AsBigFloat().Float64()
			return f, nil
		}
	default:
		if text, ok := l.text(); ok {
			return text, nil
		}
	}
	return nil, errType
}

// allows reports whether v is inside the enum and the bounds.
func (s *schema) allows(v any) bool {
	if n, ok := asFloat(v); ok && (s.Minimum != nil && n < *s.Minimum || s.Maximum != nil && n > *s.Maximum) {
		return false
	}
	return len(s.Enum) == 0 || slices.ContainsFunc(s.Enum, func(e any) bool { return sameScalar(e, v) })
}

func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, !math.IsInf(v, 0)
	}
	return 0, false
}

func sameScalar(a, b any) bool {
	x, xok := asFloat(a)
	y, yok := asFloat(b)
	return xok && yok && x == y || a == b
}
