// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/auth"
	"github.com/postroad-mail/postroad/core/internal/auth/file"
	"github.com/postroad-mail/postroad/core/internal/config"
)

// stagesDecide stands for the directory whose users the stages of phase auth know:
// each session has one of its own.
type stagesDecide struct{}

// openDirectories opens what the users blocks name.
func (g *generation) openDirectories(p parts) {
	g.directories = map[string]any{}
	for i := range g.config.Users {
		u := &g.config.Users[i]
		d, err := openDirectory(u, p)
		if err != nil {
			g.fault(u.Pos, fmt.Sprintf("users %q", u.Name), err)
			continue
		}
		g.directories[u.Name] = d
		g.doubt(u, d)
		if c, ok := d.(interface{ Close() error }); ok {
			g.closers = append(g.closers, c.Close)
		}
	}
}

// doubt warns of a directory that is in no good state.
func (g *generation) doubt(u *config.Users, d any) {
	f, ok := d.(interface{ Fault() error })
	if !ok {
		return
	}
	if err := f.Fault(); err != nil {
		summary, remedy, _ := strings.Cut(err.Error(), "\n")
		g.warnings = append(g.warnings, u.Pos.Warning(fmt.Sprintf("users %q: %s", u.Name, summary), remedy))
	}
}

func openDirectory(u *config.Users, p parts) (any, error) {
	switch u.Kind {
	case "file":
		return file.Open(u.File.Path)
	case "static":
		return static(u.Static)
	case "certificates":
		return certificates(u.Certificates), nil
	case "oidc":
		return openOIDC(u.OIDC, p), nil
	case "kerberos":
		return openKerberos(u.Kerberos, p)
	case "ldap":
		return openLDAP(u.LDAP)
	case "stages":
		return stagesDecide{}, nil
	}
	return nil, fmt.Errorf("there are no users of kind %q", u.Kind)
}

// static is a directory of one user, or of nobody.
func static(u *config.StaticUser) (*file.Directory, error) {
	if u.User == "" {
		return file.Fixed()
	}
	user, err := file.NewUser(u.User, u.Password)
	if err != nil {
		return nil, err
	}
	user.Tenant, user.Senders = u.Tenant, u.Senders
	return file.Fixed(user)
}

// certificates is a directory of clients that show a certificate.
type certificates []config.CertificateUser

// Certificate implements auth.Certificates.
func (c certificates) Certificate(_ context.Context, chain []*x509.Certificate, user string) (*auth.Account, error) {
	sum := sha256.Sum256(chain[0].Raw)
	print, names := hex.EncodeToString(sum[:]), namesOf(chain[0])
	for i := range c {
		u := &c[i]
		opens := slices.Contains(u.SHA256, print) || slices.ContainsFunc(u.Names, func(n string) bool { return slices.Contains(names, n) })
		if opens && (user == "" || user == u.User) {
			return &auth.Account{User: u.User, Tenant: u.Tenant, Senders: u.Senders}, nil
		}
	}
	return nil, auth.ErrDenied
}

// namesOf returns the subject alternative names that clients go by.
func namesOf(c *x509.Certificate) []string {
	var names []string
	for _, n := range slices.Concat(c.DNSNames, c.EmailAddresses) {
		names = append(names, strings.ToLower(n))
	}
	return names
}

// authKey returns the secret of this relay from which salts for unknown users are
// made up: it is kept, for salts that change would tell.
func authKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, "auth.key")
	key, err := os.ReadFile(path)
	switch {
	case err == nil && len(key) == sha256.Size:
		return key, nil
	case err == nil:
		return nil, fmt.Errorf("%s is not a key of %d octets; remove it, and a new one is made", path, sha256.Size)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	key = newAuthKey()
	return key, writeSynced(path, key)
}

func newAuthKey() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return key
}
