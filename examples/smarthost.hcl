# Everything goes to one next hop, with no stage in between: a durable queue in
# front of another mail server.
#
#   POSTROAD_SMARTHOST=smtp.example.org:25 postroad run -c examples/smarthost.hcl
#
# Settings come from the environment; each has a default.

server {
  hostname = env("POSTROAD_HOSTNAME", "localhost")
  data_dir = env("POSTROAD_DATA", "./data") # relative to this file
}
admin {
  address = env("POSTROAD_ADMIN", "127.0.0.1:8025") # metrics and health; "" switches it off
}

# Only this machine and private networks may send.
listener "smtp" "in" {
  address    = env("POSTROAD_LISTEN", "127.0.0.1:2525")
  relay_from = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
  limits {
    message_size           = "50MiB"
    recipients             = 1000
    connections_per_client = 2000 # few clients, each with many messages
  }
}

routing {
  rule {
    route = route.smarthost
  }
}
route "smarthost" {
  smarthost {
    host = env("POSTROAD_SMARTHOST", "127.0.0.1:25")
    tls  = "opportunistic" # STARTTLS when the host offers it
  }
  retry  = [env("POSTROAD_RETRY", "1m"), env("POSTROAD_RETRY", "1m"), env("POSTROAD_RETRY", "1m"), "5m", "15m", "1h", "4h"]
  expire = "5d"
}
