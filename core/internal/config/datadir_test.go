// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTheDataDirIsKnownInAFaultyFile: what stands behind the block server does not
// matter, what stands in it and before it does.
func TestTheDataDirIsKnownInAFaultyFile(t *testing.T) {
	server := "server {\n  data_dir = \"" + "queue\"\n}\n"
	for text, want := range map[string]string{
		server + "pipelin \"in\" {}\n":                             "queue",
		"nonsense = 1\n" + server:                                  "queue",
		server + "pipeline \"in\" {\n":                             "queue",
		"pipeline \"in\" {}}\n" + server:                           "",
		"server {\n  data_dir = \"queue\n}\n":                      "",
		"server {\n  data_dirr = \"queue\"\n}\n":                   "",
		"server {\n  data_dir = \"queue\"\n":                       "",
		"pipelin \"in\" {}\n":                                      "data",
		"pipeline \"in\" {\n":                                      "",
		"server {\n  data_dir = env(\"NO_SUCH_VARIABLE_IS\")\n}\n": "",
	} {
		file := filepath.Join(t.TempDir(), "pipeline.hcl")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		dir, err := LoadDataDir(file, Options{})
		if want != "" {
			want = filepath.Join(filepath.Dir(file), want)
		}
		if dir != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, dir, err, want)
		}
	}
	if _, err := LoadDataDir(filepath.Join(t.TempDir(), "none.hcl"), Options{}); err == nil {
		t.Error("no file, and no fault")
	}
}
