users "both" {
  ldap {
    urls     = ["ldap://ldap.example.org"]
    starttls = false
    base     = "dc=example,dc=org"
    template = "uid={user},dc=example,dc=org"
    bind_dn  = "cn=postroad,dc=example,dc=org"
  }
}
users "forms" {
  ldap {
    urls           = ["https://ldap.example.org"]
    base           = "example.org"
    filter         = "(uid=ann)"
    user_attribute = "mail address"
  }
}
users "none" {
  ldap {
    urls = []
    base = "dc=example,dc=org"
  }
}
