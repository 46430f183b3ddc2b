routing {
  rule {
    route = route.out
  }
}
provider "google" {
  mx          = ["*.google.example", "MX.google.example.net"]
  connections = 20
}
provider "part" {
  mx   = ["alt1.google.example"]
  rate = "100/1m"
}
provider "whole" {
  mx   = ["*.example.net"]
  rate = "100/1m"
}
provider "nothing" {
  mx = ["mx.nothing.example"]
}
provider "nobody" {
  mx   = []
  rate = "100"
}
provider "patterns" {
  mx          = ["mx.*.example", "192.0.2.1", "*", "com", "https://mx.example"]
  connections = 0
  conections  = 1
}
provider "left_out" {
  rate = "1/1h"
}
source "a" {
  addresses = ["192.0.2.1", "2001:db8::1"]
  hostname  = "a b"
}
source "same" {
  addresses = ["192.0.2.1", "::ffff:192.0.2.2"]
}
source "none" {
  addresses = []
}
source "wrong" {
  addresses = ["192.0.2", "0.0.0.0", "ff02::1", "192.0.2.1:25"]
}
route "out" {
  rate = "0/1m"
  mx {
    sources = [source.a, source.a]
  }
}
route "hub" {
  smarthost {
    host    = "192.0.2.9"
    sources = [source.b, "a"]
  }
}
route "mail" {
  maildir {
    sources = [source.a]
  }
}
