# A relay between Postfix and a next hop, in both directions: mail for out.test goes to Postfix, mail for in.test, which
# comes from Postfix, to POSTROAD_SINK. STARTTLS on both sides.

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
  tls {
    cert = env("POSTROAD_CERT", "cert.pem")
    key  = env("POSTROAD_KEY", "key.pem")
  }
}
routing {
  rule {
    domains = ["out.test"]
    route   = route.postfix
  }
  rule {
    route = route.sink
  }
}
route "postfix" {
  smarthost {
    host = env("POSTROAD_POSTFIX", "127.0.0.1:25")
    tls  = "opportunistic"
  }
  retry = ["1s"]
}
route "sink" {
  smarthost {
    host = env("POSTROAD_SINK", "127.0.0.1:25")
  }
  retry = ["1s"]
}
