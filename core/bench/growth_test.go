// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGrowth is the short form: small queues, every column.
func TestGrowth(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	if code := run([]string{"growth", "-sizes", "100,1000", "-n", "100", "-dir", dir, "-out", dir}, nil, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	files, err := filepath.Glob(filepath.Join(dir, "growth-*.md"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || string(text) != out.String() || strings.Count(out.String(), "\n| 1,000 |") != 2 {
		t.Errorf("%v\n%s", err, out.String())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "postroad-growth-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestGrowthRefusesAWrongCommandLine(t *testing.T) {
	for _, args := range [][]string{{"-sizes", "many"}, {"-sizes", ""}, {"-n", "0"}, {"more"}} {
		var out, errs bytes.Buffer
		if code := run(append([]string{"growth"}, args...), nil, &out, &errs); code == 0 || out.Len() > 0 {
			t.Errorf("%v: exit code %d, %s", args, code, out.String())
		}
	}
}
