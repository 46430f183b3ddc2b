# Listeners of all kinds, in front of one next hop.

server {
  hostname = env("POSTROAD_HOSTNAME", "relay.test")
  data_dir = env("POSTROAD_DATA", "./data")
}
admin {
  address = env("POSTROAD_ADMIN", "")
}
listener "smtp" "in" {
  address    = env("POSTROAD_LISTEN", "127.0.0.1:0")
  relay_from = ["127.0.0.0/8", "203.0.113.0/24"]
  xclient { from = ["127.0.0.1"] }
}
listener "smtp" "proxied" {
  address    = env("POSTROAD_PROXIED", "")
  relay_from = ["127.0.0.2", "::1", "203.0.113.0/24", "2001:db8::/32"]
  proxy_protocol { from = ["127.0.0.1"] }
}
listener "lmtp" "inside" {
  address      = [env("POSTROAD_LMTP", "127.0.0.1:0"), env("POSTROAD_SOCKET", "unix:lmtp.sock")]
  socket_group = "postfix"
  relay_from   = ["127.0.0.1"]
}
routing {
  rule {
    route = route.sink
  }
}
route "sink" {
  smarthost {
    host = env("POSTROAD_SINK", "127.0.0.1:25")
  }
  retry = ["1s"]
}
