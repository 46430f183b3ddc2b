server {
  hostnme = "mx.example.org"
  log {
    level  = "verbose"
    colour = true
  }
}
sever {}
admin = "127.0.0.1:8025"
listener "smtp" "in" {
  adress = "127.0.0.1:2525"
  limits = { recipients = 3 }
  pipeline {}
}
listener "in" {}
listener "smtp" "a" "b" {}
listener "lmtp" "c" {}
store "1st" {}
routing {
  rule {
    route = route.out
  }
}
route "out" {
  discard {}
  pipeline = pipeline.out
}
