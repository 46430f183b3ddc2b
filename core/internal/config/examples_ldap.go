// SPDX-License-Identifier: Apache-2.0

package config

const usersLDAPExample = `# People log in with the password that the company's LDAP server knows.
users "people" {
  ldap {
    urls              = ["ldaps://ldap1.example.org", "ldaps://ldap2.example.org"]
    bind_dn           = "cn=postroad,ou=services,dc=example,dc=org"
    bind_password     = secret("ldap")
    base              = "ou=people,dc=example,dc=org"
    filter            = "(&(objectClass=inetOrgPerson)(|(uid={user})(mail={user})))"
    senders_attribute = "mail"
  }
}
listener "submission" "people" {
  address = "127.0.0.1:2589"
  tls {
    self_signed = true
  }
  auth {
    users = [users.people]
  }
}
`
