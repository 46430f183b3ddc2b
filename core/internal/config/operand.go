// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
)

// operand is a part of a condition that is not a decision: a fact, a constant
// or what a function makes of them. Which of its functions is set follows from
// its kind; they may be called by many goroutines.
type operand struct {
	kind     factKind
	text     func(Lookup) (string, error)   // kindString
	number   func(Lookup) (int64, error)    // kindNumber, kindSize, kindScore
	list     func(Lookup) ([]string, error) // kindList
	decide   *test                          // kindBool
	constant bool
	isIP     bool   // it is client.ip
	key      string // its text
}

// factOperand asks for a fact.
func factOperand(name string, f fact, key string) operand {
	o := operand{kind: f.kind, key: key, isIP: name == "client.ip"}
	switch f.kind {
	case kindString:
		o.text = func(facts Lookup) (string, error) { return textFact(facts, name) }
	case kindNumber, kindSize, kindScore:
		o.number = func(facts Lookup) (int64, error) { return numberFact(facts, name) }
	case kindBool:
		o.decide = &test{key: key, atom: func(facts Lookup) (bool, error) { return boolFact(facts, name) }}
	}
	return o
}

// headerOperand asks for the values of a header field.
func headerOperand(field, key string) operand {
	return operand{kind: kindList, key: key, list: func(facts Lookup) ([]string, error) {
		v, ok := facts(messageHeader)
		if !ok {
			return nil, unknownFact(messageHeader)
		}
		get, ok := v.(func(string) []string)
		if !ok {
			return nil, badFact(messageHeader, v)
		}
		return get(field), nil
	}}
}

func unknownFact(name string) error { return fmt.Errorf("the fact %s is not known here", name) }

func badFact(name string, v any) error {
	return fmt.Errorf("the fact %s has the unexpected type %T", name, v)
}

func textFact(facts Lookup, name string) (string, error) {
	v, ok := facts(name)
	if !ok {
		return "", unknownFact(name)
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case netip.Addr:
		return v.String(), nil
	}
	return "", badFact(name, v)
}

func numberFact(facts Lookup, name string) (int64, error) {
	v, ok := facts(name)
	if !ok {
		return 0, unknownFact(name)
	}
	switch v := v.(type) {
	case int64:
		return v, nil
	case int:
		return int64(v), nil
	}
	return 0, badFact(name, v)
}

func boolFact(facts Lookup, name string) (bool, error) {
	v, ok := facts(name)
	if !ok {
		return false, unknownFact(name)
	}
	b, ok := v.(bool)
	if !ok {
		return false, badFact(name, v)
	}
	return b, nil
}

// ipFact returns client.ip without a way through text when the lookup gives an
// address.
func ipFact(facts Lookup) (netip.Addr, error) {
	v, ok := facts("client.ip")
	if !ok {
		return netip.Addr{}, unknownFact("client.ip")
	}
	switch v := v.(type) {
	case netip.Addr:
		return v.Unmap(), nil
	case string:
		ip, err := netip.ParseAddr(v)
		return ip.Unmap(), err
	}
	return netip.Addr{}, badFact("client.ip", v)
}
