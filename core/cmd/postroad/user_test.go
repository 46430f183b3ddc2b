// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/auth/file"
)

// TestUsersOfAFile adds, lists, changes and removes users, as an operator does.
func TestUsersOfAFile(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "pipeline.hcl")
	if err := os.WriteFile(config, []byte("users \"staff\" {\n  file {\n    path = \"users\"\n  }\n}\nrouting {\n  rule {\n    route = route.out\n  }\n}\nroute \"out\" {\n  discard {}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	postroad := func(in string, args ...string) (code int, out string) {
		var b bytes.Buffer
		code = run(append([]string{"-c", config}, args...), streams{strings.NewReader(in), &b, &b})
		return code, b.String()
	}
	for _, step := range []struct {
		args     string
		in       string
		code     int
		contains string
	}{
		{"user list", "", 0, ""},
		{"user add ann --tenant shop --sender ann@a.test --sender @b.test", "pencil\n", 0, ""},
		{"user add ann", "x", exitData, "is there already"},
		{"user add bob --cram", "rubber", 0, "password itself is kept"},
		{"user add a:b", "x", exitUsage, "no colon"},
		{"user add carl --sender carl", "x", exitUsage, "neither an address"},
		{"user add carl", "", exitUsage, "the password is empty"},
		{"user list", "", 0, "ann  tenant shop  sends as ann@a.test, @b.test\nbob  password kept for CRAM-MD5\n"},
		{"user list --json", "", 0, `"senders": [`},
		{"user passwd ann", "eraser\r\n", 0, ""},
		{"user passwd carl", "x", exitData, "no user carl"},
		{"user rm bob", "", 0, ""},
		{"user rm bob", "", exitData, "no user bob"},
		{"user --users nobody list", "", exitConfig, "no users \"nobody\""},
	} {
		if code, out := postroad(step.in, strings.Fields(step.args)...); code != step.code || !strings.Contains(out, step.contains) {
			t.Errorf("%s: %d, %s; want %d, %s", step.args, code, out, step.code, step.contains)
		}
	}
	users, err := file.Read(filepath.Join(dir, "users"))
	if err != nil || len(users) != 1 || !file.Matches(users["ann"].Hash, "eraser") || users["ann"].Keys["SHA-256"] == nil {
		t.Errorf("%v, %+v", err, users)
	}
}
