# examples/smarthost.hcl with one plugin from a file that adds a header field to
# every message. Used by core/bench's overhead.

server {
  hostname = env("POSTROAD_HOSTNAME", "localhost")
  data_dir = env("POSTROAD_DATA", "./data")
}
admin {
  address = env("POSTROAD_ADMIN", "127.0.0.1:8025")
}

listener "smtp" "in" {
  address    = env("POSTROAD_LISTEN", "127.0.0.1:2525")
  pipeline   = pipeline.outbound
  relay_from = ["127.0.0.0/8", "::1"]
  limits {
    message_size           = "50MiB"
    recipients             = 1000
    connections_per_client = 2000
  }
}

plugin "words" {
  source = env("POSTROAD_PLUGIN", "./words.wasm")
  grant {
    read  = ["headers", "body"]
    write = ["headers"]
  }
}

pipeline "outbound" {
  stage "words" {
    plugin = plugin.words
    config {
      job = "add"
    }
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
    tls  = "opportunistic"
  }
  retry  = [env("POSTROAD_RETRY", "1m"), env("POSTROAD_RETRY", "1m"), env("POSTROAD_RETRY", "1m"), "5m", "15m", "1h", "4h"]
  expire = "5d"
}
