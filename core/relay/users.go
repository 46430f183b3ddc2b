// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"strings"
)

// UsersFile returns the path of the file of users that the configuration names:
// that of the users block called name, or if name is empty of the only block that
// has a file. The file need not be there.
func UsersFile(o Options, name string) (string, error) {
	c, err := loadConfig(o, nil)
	if err != nil {
		return "", &kinded{ErrConfig, err}
	}
	var paths, names []string
	for i := range c.Users {
		u := &c.Users[i]
		if u.File != nil && (name == "" || name == u.Name) {
			paths, names = append(paths, u.File.Path), append(names, u.Name)
		}
	}
	switch {
	case len(paths) == 1:
		return paths[0], nil
	case len(paths) > 1:
		return "", &kinded{ErrConfig, fmt.Errorf("%s has several files of users; say --users %s", c.File, strings.Join(names, " or --users "))}
	case name != "":
		return "", &kinded{ErrConfig, fmt.Errorf("%s has no users %q with a file", c.File, name)}
	}
	return "", &kinded{ErrConfig, fmt.Errorf("%s has no users with a file; add users \"staff\" { file { path = \"users\" } }", c.File)}
}
