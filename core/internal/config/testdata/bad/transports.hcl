routing {
  rule {
    route = route.none
  }
}
route "none" {}
route "two" {
  mx {}
  maildir {}
}
route "same" {
  mx {}
  mx {}
}
route "smart" {
  smarthost {}
}
route "both" {
  smarthost {
    host  = "192.0.2.1:25"
    hosts = ["192.0.2.2:25"]
  }
}
route "empty" {
  retry = []
  smarthost {
    hosts = []
    tls   = "yes"
  }
}
route "hosts" {
  smarthost {
    hosts = ["mail.example.org:smtp", "", ":25", "2001:db8::1", "[2001:db8::2]:587", "mail.example.org"]
  }
}
route "mail" {
  maildir {
    root      = "../mail"
    mailboxes = ["alice", "bob@example.org"]
    create    = "perhaps"
  }
}
