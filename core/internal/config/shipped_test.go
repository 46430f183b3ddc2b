// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// repository is the top level as seen from this package.
const repository = "../../.."

// builtinManifest reads the manifest of a first-party plugin from its source.
func builtinManifest(_ Server, p Plugin) (Manifest, error) {
	name, ok := strings.CutPrefix(p.Source, "builtin:")
	if !ok {
		return Manifest{}, fmt.Errorf("no builtin: %s", p.Source)
	}
	b, err := os.ReadFile(filepath.Join(repository, "plugins", name, "manifest.json"))
	if err != nil {
		return Manifest{}, err
	}
	var m struct {
		Phases []string `json:"phases"`
		Wants  struct {
			Read     []string `json:"read"`
			Write    []string `json:"write"`
			Routes   []string `json:"routes"`
			NextHops []string `json:"next_hops"`
			Stores   []string `json:"kv"`
			Buckets  []string `json:"buckets"`
		} `json:"wants"`
		Config json.RawMessage `json:"config"`
	}
	err = json.Unmarshal(b, &m)
	w := m.Wants
	return Manifest{Phases: m.Phases, Schema: m.Config, Wants: Grant{
		Read: w.Read, Write: w.Write, Routes: w.Routes, NextHops: w.NextHops, Stores: w.Stores, Buckets: w.Buckets}}, err
}

// load reads a shipped configuration with the given environment.
func load(t *testing.T, file string, env map[string]string) *Config {
	t.Helper()
	c, err := Load(filepath.Join(repository, file), Options{
		Env:      func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Manifest: builtinManifest,
	})
	if err != nil {
		t.Fatalf("%s:\n%v", file, err)
	}
	return c
}

func shippedFiles() []string {
	return []string{"pipeline.hcl", "examples/smarthost.hcl", "examples/smarthost-filtered.hcl", "examples/gateway.hcl"}
}

// TestShipped shows that every configuration that ships is valid without any
// environment, has nothing to warn of, is formatted, and dumps faithfully.
func TestShipped(t *testing.T) {
	for _, file := range shippedFiles() {
		t.Run(file, func(t *testing.T) {
			c := load(t, file, nil)
			if len(c.Warnings) > 0 {
				t.Errorf("warnings:\n%v", c.Warnings)
			}
			src, err := os.ReadFile(filepath.Join(repository, file))
			if err != nil {
				t.Fatal(err)
			}
			if formatted(src) != string(src) {
				t.Error("it is not formatted as hclwrite.Format does")
			}
			again, err := Parse(filepath.Join(repository, file), []byte(Dump(c)), Options{Env: noEnv, Manifest: builtinManifest})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, again, sameConfig()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestShippedEnvironment shows that test tools can drive the examples through
// their variables.
func TestShippedEnvironment(t *testing.T) {
	env := map[string]string{
		"POSTROAD_LISTEN": "127.0.0.1:4025", "POSTROAD_SMARTHOST": "127.0.0.1:4026", "POSTROAD_DATA": "/tmp/spool", "POSTROAD_HOSTNAME": "mx.example.org",
		"POSTROAD_SUBMISSION": "127.0.0.1:4587", "POSTROAD_SMTPS": "127.0.0.1:4465", "POSTROAD_USER": "ann", "POSTROAD_PASSWORD": "pencil",
		"POSTROAD_ADMIN": "", "POSTROAD_RETRY": "250ms", "POSTROAD_DOMAINS": "example.org, Example.NET", "POSTROAD_DNS": "127.0.0.1:5353", "POSTROAD_MX_PORT": "4027",
	}
	for _, file := range shippedFiles() {
		c := load(t, file, env)
		if c.Listeners[0].Addresses[0] != "127.0.0.1:4025" || c.Server.DataDir != "/tmp/spool" || c.Server.Hostname != "mx.example.org" || c.Admin.Address != "" {
			t.Errorf("%s: %+v %+v %+v", file, c.Listeners[0], c.Server, c.Admin)
		}
	}
	for _, file := range []string{"examples/smarthost.hcl", "examples/smarthost-filtered.hcl"} {
		r := load(t, file, env).Routes[0]
		if r.Smarthost.Hosts[0] != "127.0.0.1:4026" || r.Retry[0] != 250*time.Millisecond {
			t.Errorf("%s: %+v", file, r)
		}
	}
	checkGateway(t, load(t, "examples/gateway.hcl", env))
}

func checkGateway(t *testing.T, c *Config) {
	if got, want := c.Rules[0].Domains, []string{"example.org", "example.net"}; !cmp.Equal(got, want) || !c.Rules[0].Accept {
		t.Errorf("the rule is %+v", c.Rules[0])
	}
	if len(c.Listeners[0].RelayFrom) != 0 || c.Listeners[0].Auth != nil {
		t.Error("somebody may relay")
	}
	for i, want := range []struct {
		address  string
		implicit bool
	}{{"127.0.0.1:4025", false}, {"127.0.0.1:4587", false}, {"127.0.0.1:4465", true}} {
		if l := c.Listeners[i]; l.Addresses[0] != want.address || l.TLS == nil || l.TLS.Implicit != want.implicit {
			t.Errorf("listener %+v, want %v", l, want)
		}
	}
	if u := c.Users[0].Static; u.User != "ann" || u.Password != "pencil" || strings.Contains(Dump(c), "pencil") {
		t.Errorf("the user is %+v, and is dumped", u)
	}
	if r := c.Routes[0]; r.MX.Port != 4027 || !r.MX.AllowPrivate || r.MX.TLS != "opportunistic" {
		t.Errorf("the route is %+v", r)
	}
	if !cmp.Equal(c.Resolver.Servers, []string{"127.0.0.1:5353"}) {
		t.Errorf("the resolver is %+v", c.Resolver)
	}
}

// TestShippedGatewayWithoutDomains shows that an empty list accepts for nobody.
func TestShippedGatewayWithoutDomains(t *testing.T) {
	c := load(t, "examples/gateway.hcl", map[string]string{"POSTROAD_DOMAINS": ""})
	if len(c.Rules) != 1 || c.Rules[0].Accept || len(c.Warnings) != 1 {
		t.Errorf("rules %+v, warnings %v", c.Rules, c.Warnings)
	}
}

func noEnv(string) (string, bool) { return "", false }
