listener "smtp" "public" {
  address = ["0.0.0.0:25", "[::]:25"]
  proxy_protocol { from = ["10.0.0.0/8"] }
}

listener "submission" "users" {}

listener "lmtp" "inside" {
  address      = ["unix:run/lmtp.sock", "systemd:postroad-lmtp.socket"]
  socket_mode  = "0600"
  socket_group = "postfix"

  xclient {
    from  = ["127.0.0.1"]
    login = true
  }
}

listener "smtp" "off" { address = "" }

routing {
  rule { route = route.nowhere }
}

route "nowhere" {
  discard {}
}
