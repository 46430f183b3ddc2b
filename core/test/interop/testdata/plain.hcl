# No stage: mail for box.test goes into Maildirs, everything else to POSTROAD_SINK.

server {
  hostname = env("POSTROAD_HOSTNAME", "relay.test")
  data_dir = env("POSTROAD_DATA", "./data")
}
admin {
  address = env("POSTROAD_ADMIN", "")
}
listener "smtp" "in" {
  address    = env("POSTROAD_LISTEN", "127.0.0.1:0")
  relay_from = ["127.0.0.0/8"]
  limits {
    message_size = "50MiB"
  }
}
routing {
  rule {
    domains = ["box.test"]
    route   = route.box
  }
  rule {
    route = route.sink
  }
}
route "box" {
  maildir {
    create = true
  }
}
route "sink" {
  smarthost {
    host = env("POSTROAD_SINK", "127.0.0.1:25")
  }
  retry = ["1s"]
}
