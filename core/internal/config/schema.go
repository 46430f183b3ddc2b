// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// schema is the subset of JSON Schema in which a plugin describes its config
// block: type, properties, additionalProperties, items, required, enum,
// default, description and format.
type schema struct {
	Type        string             `json:"type"`
	Description string             `json:"description"`
	Format      string             `json:"format"` // of a string: see formats
	Properties  map[string]*schema `json:"properties"`
	Additional  *additional        `json:"additionalProperties"`
	Items       *schema            `json:"items"`
	Required    []string           `json:"required"`
	Enum        []any              `json:"enum"`
	Default     json.RawMessage    `json:"default"`
	Title       string             `json:"title"`
	Dialect     string             `json:"$schema"`
	Minimum     *float64           `json:"minimum"`
	Maximum     *float64           `json:"maximum"`
}

// additional is additionalProperties: false, or the schema of the values of a
// map.
type additional struct{ values *schema }

// UnmarshalJSON reads false or a schema.
func (a *additional) UnmarshalJSON(b []byte) error {
	switch string(bytes.TrimSpace(b)) {
	case "false":
		return nil
	case "true":
		return fmt.Errorf("additionalProperties may be false or a schema, not true")
	}
	return decodeStrict(b, &a.values)
}

// decodeStrict is json.Unmarshal that refuses unknown keywords.
func decodeStrict(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// parseSchema reads the schema of a config block; nil for no schema.
func parseSchema(b []byte) (*schema, error) {
	if len(bytes.TrimSpace(b)) == 0 || string(bytes.TrimSpace(b)) == "null" {
		return &schema{Type: "object"}, nil
	}
	s := &schema{}
	if err := decodeStrict(b, s); err != nil {
		return nil, fmt.Errorf("config schema: %w", err)
	}
	if s.Type != "object" || s.values() != nil {
		return nil, fmt.Errorf("config schema: its type must be object, with properties")
	}
	return s, s.check("config")
}

// values returns the schema of a map's values, nil when s is not a map.
func (s *schema) values() *schema {
	if s.Additional == nil {
		return nil
	}
	return s.Additional.values
}

// check finds what a schema says that this package does not understand.
func (s *schema) check(path string) error {
	if s == nil {
		return fmt.Errorf("config schema: %s is null", path)
	}
	if !slices.Contains([]string{"object", "array", "string", "integer", "number", "boolean"}, s.Type) {
		return fmt.Errorf("config schema: %s has the unknown type %q", path, s.Type)
	}
	if _, ok := formats()[s.Format]; s.Format != "" && !ok {
		return fmt.Errorf("config schema: %s has the unknown format %q", path, s.Format)
	}
	if s.Type == "array" && s.Items == nil {
		return fmt.Errorf("config schema: %s is an array without items", path)
	}
	for _, name := range s.Required {
		if s.Properties[name] == nil {
			return fmt.Errorf("config schema: %s requires the unknown property %q", path, name)
		}
	}
	return s.checkParts(path)
}

func (s *schema) checkParts(path string) error {
	for _, name := range s.names() {
		if err := s.Properties[name].check(path + "." + name); err != nil {
			return err
		}
	}
	if s.Items != nil {
		if err := s.Items.check(path + "[]"); err != nil {
			return err
		}
	}
	if v := s.values(); v != nil {
		return v.check(path + ".*")
	}
	return s.checkDefault(path)
}

func (s *schema) checkDefault(path string) error {
	if len(s.Default) == 0 {
		return nil
	}
	if _, err := s.defaultValue(); err != nil {
		return fmt.Errorf("config schema: the default of %s: %w", path, err)
	}
	return nil
}

// names returns the properties in alphabetical order.
func (s *schema) names() []string { return slices.Sorted(maps.Keys(s.Properties)) }

// isBlock reports whether a property is written as a block: an object with
// properties, or a list of such.
func (s *schema) isBlock() bool {
	if s.Type == "array" {
		return s.Items.isBlock()
	}
	return s.Type == "object" && s.values() == nil
}
