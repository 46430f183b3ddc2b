// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// Account returns what the file says of a user for whom somebody else stands, without
// a password; auth.ErrDenied when there is no such user.
func (d *Directory) Account(_ context.Context, user string) (*auth.Account, error) {
	u, err := d.find(user)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return nil, auth.ErrDenied
	}
	return u.account(), nil
}
