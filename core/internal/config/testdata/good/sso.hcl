server {
  hostname = "mx.example.org"
}
users "company" {
  oidc {
    issuer           = "https://id.example.org/realms/mail"
    audiences        = ["smtp", "mail"]
    clients          = ["mailer"]
    scopes           = ["mail.send"]
    user_claim       = "email"
    unverified_email = true
    tenant_claim     = "org"
    clock_skew       = "30s"
  }
}
users "here" {
  oidc {
    issuer = "http://127.0.0.1:8080"
    introspection {
      client_id     = "postroad"
      client_secret = "in the clear"
    }
  }
}
users "realm" {
  kerberos {
    keytab = "./smtp.keytab"
    domain = "example.org"
    tenant = "shop"
  }
}
listener "submission" "in" {
  auth {
    users = [users.company, users.here, users.realm]
  }
}
routing {
  rule {
    route = route.out
  }
}
route "out" {
  mx {}
}
