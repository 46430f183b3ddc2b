// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestGrantInAManifest(t *testing.T) {
	var g Grant
	err := g.unmarshal(json.RawMessage(`{"read":["auth"],"write":["queue","ehlo"],"dns":true,"http":["api.example.org"],
		"dkim":["main"],"emit":true,"secrets":["token"],"tick":"90s"}`))
	want := Grant{Read: []string{"auth"}, Write: []string{"queue", "ehlo"}, DNS: true, HTTP: []string{"api.example.org"},
		DKIM: []string{"main"}, Emit: true, Secrets: []string{"token"}, Tick: 90 * time.Second}
	if err != nil || !reflect.DeepEqual(g, want) {
		t.Errorf("%+v, %v", g, err)
	}
	for text, want := range map[string]time.Duration{`{"tick":true}`: AnyTick, `{"tick":false}`: 0} {
		var g Grant
		if err := g.unmarshal(json.RawMessage(text)); err != nil || g.Tick != want {
			t.Errorf("%s: %v, %v", text, g.Tick, err)
		}
	}
}

func TestMissingGrantAsHCL(t *testing.T) {
	wants := Grant{Read: []string{"auth"}, Write: []string{"queue"}, DNS: true, HTTP: []string{"a.example.org", "b.example.net"},
		DKIM: []string{"main"}, Emit: true, Secrets: []string{"token", "*"}, Tick: 2 * time.Hour}
	lack := (&Grant{HTTP: []string{"*.example.org"}}).missing(wants)
	want := `grant {
  read = ["auth"]
  write = ["queue"]
  dns = true
  http = ["b.example.net"]
  dkim = ["main"]
  emit = true
  secrets = ["token"]
  tick = "2h"
}`
	if got := lack.hcl(); got != want || lack.empty() {
		t.Errorf("%s", got)
	}
	if lack := (&Grant{}).missing(Grant{Tick: AnyTick}); lack.hcl() != "grant {\n  tick = \"1m\"\n}" {
		t.Errorf("%s", lack.hcl())
	}
	all := Grant{Read: wants.Read, Write: wants.Write, DNS: true, HTTP: []string{"*"}, DKIM: []string{"*"}, Emit: true,
		Secrets: []string{"*"}, Tick: time.Minute}
	if lack := all.missing(wants); !lack.empty() {
		t.Errorf("lacks %+v of all there is", lack)
	}
}

func TestNarrowedGrant(t *testing.T) {
	operator := Grant{DNS: true, Emit: true, HTTP: []string{"*", "a.example.org"}, Secrets: []string{"token", "other"}, Tick: time.Minute}
	if got := operator.narrow(Grant{}); got.powers() != 0 || got.Tick != 0 {
		t.Errorf("a manifest that wants nothing gets %+v", got)
	}
	got := operator.narrow(Grant{DNS: true, HTTP: []string{"b.example.org"}, Secrets: []string{"token"}, Tick: AnyTick})
	want := Grant{DNS: true, HTTP: []string{"*", "a.example.org"}, Secrets: []string{"token"}, Tick: time.Minute}
	if !reflect.DeepEqual(got, want) || got.powers() != useDNS|useHTTP|useSecrets {
		t.Errorf("narrowed to %+v", got)
	}
}

func TestGrantedHosts(t *testing.T) {
	for host, ok := range map[string]bool{
		"api.example.org": true, "*.example.org": true, "*": true, "https://api.example.org": true, "http://10.0.0.1:8080": true,
		"[2001:db8::1]:443": true, "a:*": true, "localhost": true, "*:8443": true,
		"": false, "ftp://a": false, "a/b": false, "a b": false, "a*.b": false, "*.": false, "a:": false, "https://": false, "user@a": false,
	} {
		if err := (&Grant{HTTP: []string{host}}).check(); (err == nil) != ok {
			t.Errorf("%q: %v", host, err)
		}
	}
}
