// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the tests got as what they want")

// testOptions is an environment with one variable, one secret, and plugins
// that the testdata uses.
func testOptions() Options {
	return Options{
		Env: func(name string) (string, bool) {
			switch name {
			case "SET":
				return "set", true
			case "POSTROAD_SECRET_KNOWN":
				return "s3cret", true
			}
			return "", false
		},
		ReadFile: func(string) ([]byte, error) { return nil, os.ErrNotExist },
		Manifest: testManifest,
	}
}

func testManifest(_ Server, p Plugin) (Manifest, error) {
	switch p.Source {
	case "builtin:footer":
		return Manifest{Phases: []string{"message"}, Wants: Grant{Read: []string{"body"}, Write: []string{"body"}}}, nil
	case "builtin:filter":
		return Manifest{Phases: []string{"mail", "rcpt", "message"}, Wants: Grant{Read: []string{"envelope", "headers", "body"}}, Schema: schemaFile("filter.json")}, nil
	case "builtin:limit":
		return Manifest{Phases: []string{"mail", "rcpt"}, Wants: Grant{Read: []string{"envelope"}, Routes: []string{"*"}, Buckets: []string{"*"}}}, nil
	case "./greylist.wasm":
		return Manifest{Phases: []string{"rcpt"}, Schema: schemaFile("greylist.json"),
			Wants: Grant{Read: []string{"envelope"}, Stores: []string{"greylist"}, Buckets: []string{"*"}}}, nil
	case "builtin:agent":
		return Manifest{Phases: []string{"message", "tick"}, Wants: Grant{DNS: true, Emit: true, Tick: 90 * time.Second, HTTP: []string{"api.example.org"}, Secrets: []string{"known"}}}, nil
	case "./agent.wasm":
		return Manifest{Phases: []string{"message", "tick"}, Wants: Grant{DNS: true, Emit: true, Tick: -1, HTTP: []string{"api.example.org"}, Secrets: []string{"known", "missing"}}}, nil
	case "./web.wasm":
		return Manifest{Phases: []string{"message", "tick"}, Wants: Grant{DNS: true, Emit: true, Tick: -1, HTTP: []string{"*"}, Secrets: []string{"known"}}}, nil
	case "./session.wasm":
		return Manifest{Phases: []string{"connect", "helo", "headers", "body", "reset", "tick"}, Wants: Grant{Read: []string{"auth"}, Write: []string{"ehlo"}}}, nil
	case "oci:ghcr.io/example/sign@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08":
		return Manifest{Phases: []string{"route", "predeliver", "result", "bounce"}, Wants: Grant{Routes: []string{"*"}, Write: []string{"queue"}}}, nil
	case "./dkim.wasm":
		return Manifest{Phases: []string{"predeliver"}, Wants: Grant{DKIM: []string{"main"}}}, nil
	case "./broken.wasm":
		return Manifest{Phases: []string{"rcpt"}, Schema: []byte(`{"type": "object", "properties": {"a": {"type": "text"}}}`)}, nil
	case "./silent.wasm":
		return Manifest{}, nil
	}
	return Manifest{}, errors.New("file " + filepath.Base(p.Path) + " does not exist; build the plugin or correct its source")
}

func schemaFile(name string) []byte {
	b, err := os.ReadFile(filepath.Join("testdata", "schema", name))
	if err != nil {
		panic(err)
	}
	return b
}

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update to accept)\n--- got\n%s\n--- want\n%s", file, got, want)
	}
}

// TestFaults holds every diagnostic that a bad configuration gets against the
// text beside it.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(filepath.Base(file), src, testOptions())
			if c != nil || err == nil {
				t.Fatal("it was accepted")
			}
			if _, ok := err.(Diagnostics); !ok {
				t.Fatalf("the error is a %T", err)
			}
			golden(t, strings.TrimSuffix(file, ".hcl")+".txt", err.Error())
		})
	}
}
