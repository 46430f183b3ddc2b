// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// readFile returns what is in the file, when it is at most max octets. remedy
// ends the sentence about a file that is not there.
func readFile(path string, max int64, remedy string) ([]byte, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("file %s does not exist; %s", path, remedy)
	case err != nil:
		return nil, fmt.Errorf("file %s cannot be read: %w", path, cause(err))
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file; %s", path, remedy)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("file %s cannot be read: %w; give it to the user that runs postroad", path, cause(err))
	}
	defer f.Close()
	return readAll(f, path, max)
}

// readAll reads at most max octets, whatever the file's size is said to be: it
// may grow meanwhile.
func readAll(r io.Reader, name string, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, fmt.Errorf("file %s cannot be read: %w", name, cause(err))
	}
	if int64(len(b)) > max {
		return nil, fmt.Errorf("file %s is larger than %s; correct its path, or strip the debug sections of a module", name, octets(max))
	}
	return b, nil
}

// cause is err without the path, which the sentence around it names.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func octets(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
