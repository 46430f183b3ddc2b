// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/postroad-mail/postroad/core/internal/config"
)

// overridesName is the file in data_dir with what the operator decided about
// candidates.
const overridesName = "overrides.json"

// override is one such decision. It holds for the stage as it stood in
// pipeline.hcl, and is void for any other.
type override struct {
	State string    `json:"state"` // promoted or off
	Hash  string    `json:"hash"`  // config.Stage.Hash
	At    time.Time `json:"at"`
}

// overrides are decisions by the key of their stage.
type overrides map[string]override

// overridesFile is the form of the file.
type overridesFile struct {
	Version   int       `json:"version"`
	Overrides overrides `json:"overrides"`
}

const (
	overridesVersion = 1
	maxOverrides     = 1 << 20 // octets of the file
)

// readOverrides returns what the file holds; nothing when it is not there. A
// file that cannot be understood is an error: what it decided is not guessed.
func readOverrides(path string) (overrides, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return overrides{}, nil
	}
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = errors.New("it is no file")
	case st.Size() > maxOverrides:
		err = fmt.Errorf("it has %d octets, %d are read at most", st.Size(), maxOverrides)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	f := overridesFile{}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%s, which says what candidates were promoted or rolled back, cannot be read: %w; restore it, or remove it to run every stage as pipeline.hcl says", path, err)
	}
	return f.Overrides, nil
}

func (f *overridesFile) check() error {
	if f.Version != overridesVersion {
		return fmt.Errorf("its version is %d, this relay writes version %d", f.Version, overridesVersion)
	}
	for key, o := range f.Overrides {
		if o.State != statePromoted && o.State != stateOff || o.Hash == "" {
			return fmt.Errorf("stage %s has the unknown state %q", key, o.State)
		}
	}
	if f.Overrides == nil {
		f.Overrides = overrides{}
	}
	return nil
}

// writeOverrides replaces the file. It returns after both the file and the
// folder's entry were synced: what is there is always the old or the new whole.
func writeOverrides(path string, o overrides) (err error) {
	b, err := json.MarshalIndent(overridesFile{overridesVersion, o}, "", "  ")
	if err != nil {
		return err
	}
	temp := path + ".new"
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", path, errors.Join(err, removeIfThere(temp)))
		}
	}()
	if err := writeSynced(temp, append(b, '\n')); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeSynced writes a new file, 0600, and syncs it.
func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// notes says for each override whether it holds for c, in the order of the
// keys.
func (o overrides) notes(c *config.Config) []string {
	hashes := candidateHashes(c)
	var out []string
	for _, key := range sortedNames(o) {
		if why := o[key].void(hashes, key); why != "" {
			out = append(out, fmt.Sprintf("the override %s of stage %s is void: %s", o[key].State, key, why))
			continue
		}
		out = append(out, fmt.Sprintf("stage %s: %s since %s; `postroad stage reset %s` goes back to what pipeline.hcl says",
			key, stateText(o[key].State), o[key].At.UTC().Format(time.RFC3339), key))
	}
	return out
}

func stateText(state string) string {
	if state == statePromoted {
		return "its candidate is promoted"
	}
	return "its candidate is rolled back"
}

// void says why an override does not hold, and is empty when it does.
func (o override) void(hashes map[string]string, key string) string {
	switch hash, ok := hashes[key]; {
	case !ok:
		return "there is no such stage with a candidate any more"
	case hash != o.Hash:
		return "the stage's block in pipeline.hcl has changed"
	}
	return ""
}

// candidateHashes returns the hashes of the stages that have a candidate.
func candidateHashes(c *config.Config) map[string]string {
	out := map[string]string{}
	for i := range c.Pipelines {
		for _, s := range c.Pipelines[i].Stages {
			if s.Candidate != nil {
				out[stageKey(c.Pipelines[i].Name, s.Name)] = s.Hash
			}
		}
	}
	return out
}

// stageKey is how people name a stage.
func stageKey(pipeline, stage string) string { return pipeline + "/" + stage }
