// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/zclconf/go-cty/cty"
)

// defaultValue returns the checked default. A string with a format may be
// written with its unit ("60s") or as the number that the plugin gets.
func (s *schema) defaultValue() (any, error) {
	dec := json.NewDecoder(bytes.NewReader(s.Default))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return s.fromJSON(v)
}

func (s *schema) fromJSON(v any) (any, error) {
	switch v := v.(type) {
	case []any:
		return s.listFromJSON(v)
	case map[string]any:
		return s.mapFromJSON(v)
	case json.Number:
		return s.numberFromJSON(v)
	case string:
		if f, ok := formats()[s.Format]; ok && f.what == "" {
			return f.parse(v)
		}
		return s.scalarFromJSON(cty.StringVal(v))
	case bool:
		return s.scalarFromJSON(cty.BoolVal(v))
	}
	return nil, fmt.Errorf("it is not %s", s.want())
}

func (s *schema) scalarFromJSON(v cty.Value) (any, error) {
	if f, ok := formats()[s.Format]; ok && f.what != "" && v.Type() == cty.String {
		return v.AsString(), nil
	}
	got, err := s.scalar(lit{value: v})
	if err != nil {
		return nil, fmt.Errorf("it is not %s", s.want())
	}
	return got, nil
}

func (s *schema) numberFromJSON(n json.Number) (any, error) {
	if s.Format == "duration" || s.Format == "size" {
		return n.Int64()
	}
	v, err := cty.ParseNumberVal(n.String())
	if err != nil {
		return nil, err
	}
	return s.scalarFromJSON(v)
}

func (s *schema) listFromJSON(items []any) (any, error) {
	if s.Type != "array" {
		return nil, fmt.Errorf("it is not %s", s.want())
	}
	out := make([]any, 0, len(items))
	for _, item := range items {
		v, err := s.Items.fromJSON(item)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (s *schema) mapFromJSON(items map[string]any) (any, error) {
	if s.Type != "object" {
		return nil, fmt.Errorf("it is not %s", s.want())
	}
	out := map[string]any{}
	for name, item := range items {
		part := s.Properties[name]
		if part == nil {
			part = s.values()
		}
		if part == nil {
			return nil, fmt.Errorf("it has the unknown key %q", name)
		}
		v, err := part.fromJSON(item)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	s.fill(out)
	return out, nil
}
