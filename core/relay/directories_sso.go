// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"github.com/postroad-mail/postroad/core/internal/auth/kerberos"
	"github.com/postroad-mail/postroad/core/internal/auth/oidc"
	"github.com/postroad-mail/postroad/core/internal/config"
)

func openOIDC(c *config.UsersOIDC, p parts) *oidc.Directory {
	o := oidc.Options{
		Issuer: c.Issuer, Audiences: c.Audiences, Clients: c.Clients, Scopes: c.Scopes, UserClaim: c.UserClaim, AnyEmail: c.AnyEmail,
		Tenant: c.Tenant, TenantClaim: c.TenantClaim, Skew: c.Skew, Now: p.clock.Now, Known: p.issuers,
	}
	if c.IntrospectionID != "" {
		o.Introspect = &oidc.Credentials{ID: c.IntrospectionID, Secret: c.IntrospectionPW}
	}
	return oidc.New(o)
}

func openKerberos(c *config.UsersKerberos, p parts) (*kerberos.Directory, error) {
	return kerberos.Open(kerberos.Options{
		Keytab: c.Keytab, Principal: c.Principal, Realm: c.Realm, Domain: c.Domain, Tenant: c.Tenant, Skew: c.Skew, Replays: p.replays, Now: p.clock.Now,
	})
}
