listener "smtp" "a" {
  address = ["0.0.0.0:25", "[::]:25"]
}

listener "submission" "b" {
  address = "192.0.2.1:25"
}

listener "lmtp" "c" {
  address      = ["unix:@abstract", "systemd:", "nonsense"]
  socket_mode  = "rw"
  socket_group = "a:b"
}

listener "lmtp" "d" {
  address = ["[2001:db8::1]:25", "127.0.0.1:26", "127.0.0.1:26"]
}

listener "smtp" "e" {
  address = "unix:/run/lmtp.sock"
  proxy_protocol { from = ["::/0"] }
  xclient { from = [] }
}

listener "smtp" "f" {
  address = ["systemd:mail", "unix:/run//./lmtp.sock"]
  proxy_protocol {}
}

listener "smtp" "g" {
  address = ["systemd:mail", 25]
}

listener "imap" "h" {
  address = ""
}

routing {
  rule { route = route.nowhere }
}

route "nowhere" {
  discard {}
}
