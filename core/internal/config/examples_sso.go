// SPDX-License-Identifier: Apache-2.0

package config

// Examples of the reference.
const (
	usersOIDCExample = `# Mail clients log in with an access token of the company's provider.
users "company" {
  oidc {
    issuer     = "https://id.example.org/realms/mail"
    audiences  = ["smtp"]
    scopes     = ["mail.send"]
    user_claim = "preferred_username"
  }
}
listener "submission" "tokens" {
  address = "127.0.0.1:2588"
  auth {
    users = [users.company]
  }
}
`
	usersKerberosExample = `# The keytab is written on the KDC by: kadmin ktadd -k postroad.keytab smtp/mx.example.org
users "realm" {
  kerberos {
    keytab    = "/etc/postroad/postroad.keytab"
    principal = "smtp/mx.example.org"
    domain    = "example.org"
  }
}
listener "submission" "tickets" {
  address = "127.0.0.1:2589"
  auth {
    users = [users.realm]
  }
}
`
)
