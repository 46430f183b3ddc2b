users "none" {}
users "two" {
  file {
    path = "a"
  }
  stages {}
}
users "file" {
  file {}
}
users "certs" {
  certificates {
    user "ann" {
      tenant = "a b"
    }
    user "bob" {
      sha256  = ["12"]
      names   = ["*.example.org", ""]
      senders = ["bob", "@", "bob@example.org"]
    }
  }
}
users "good" {
  stages {}
}
listener "smtp" "a" {
  address = "127.0.0.1:1"
  auth {}
  tls {}
}
listener "submission" "b" {
  address = "127.0.0.1:2"
  auth {
    users      = []
    mechanisms = ["PLAN", "SCRAM-SHA-256"]
    required   = "yes"
  }
  tls {
    cert        = "cert.pem"
    self_signed = true
    mode        = "starttsl"
    min_version = "1.1"
  }
}
listener "submission" "c" {
  address = "127.0.0.1:3"
  auth {
    users = ["good", users.god, users.good]
  }
  tls {
    self_signed  = true
    cert         = "cert.pem"
    key          = "key.pem"
    client_certs = "require"
    certificate {
      cert = "cert.pem"
    }
  }
}
listener "submission" "d" {
  address = "127.0.0.1:4"
  tls {
    self_signed = true
    client_ca   = "ca.pem"
  }
}
routing {
  rule {
    route = route.out
  }
}
route "out" {
  discard {}
}
