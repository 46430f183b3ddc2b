users "plain" {
  oidc {
    issuer    = "http://id.example.org"
    audiences = ["smtp"]
  }
}
users "anybody" {
  oidc {
    issuer = "https://id.example.org"
  }
}
users "query" {
  oidc {
    issuer     = "https://id.example.org/?x=1"
    audiences  = ["two words"]
    clock_skew = "5"
  }
}
users "nosecret" {
  oidc {
    issuer = "https://id.example.org"
    introspection {
      client_id     = "postroad"
      client_secret = ""
    }
  }
}
users "realm" {
  kerberos {
    principal  = "smtp/mx.example.org@EXAMPLE.ORG"
    clock_skew = "0s"
    domain     = ".example.org"
  }
}
routing {
  rule {
    route = route.nowhere
  }
}
route "nowhere" {
  discard {}
}
