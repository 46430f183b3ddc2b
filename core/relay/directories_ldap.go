// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/postroad-mail/postroad/core/internal/auth/ldap"
	"github.com/postroad-mail/postroad/core/internal/config"
)

func openLDAP(c *config.UsersLDAP) (*ldap.Directory, error) {
	o := ldap.Options{
		URLs: c.URLs, StartTLS: c.StartTLS, BindDN: c.BindDN, BindPassword: c.BindPassword, Base: c.Base, Filter: c.Filter, Template: c.Template,
		UserAttribute: c.UserAttribute, Tenant: c.Tenant, TenantAttribute: c.TenantAttribute, SendersAttribute: c.SendersAttribute,
		Timeout: c.Timeout, Connections: c.Connections,
	}
	if c.CA == "" {
		return ldap.New(o)
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, err
	}
	o.Roots = x509.NewCertPool()
	if !o.Roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", c.CA)
	}
	return ldap.New(o)
}
