# A stage rewrites the body of every message: it puts a footer under the text.

server {
  hostname = env("POSTROAD_HOSTNAME", "relay.test")
  data_dir = env("POSTROAD_DATA", "./data")
}
admin {
  address = env("POSTROAD_ADMIN", "")
}
listener "smtp" "in" {
  address    = env("POSTROAD_LISTEN", "127.0.0.1:0")
  pipeline   = pipeline.in
  relay_from = ["127.0.0.0/8"]
  limits {
    message_size = "50MiB"
  }
}
plugin "rewrite" {
  source = "builtin:rewrite"
}
pipeline "in" {
  stage "footer" {
    plugin = plugin.rewrite
    config {
      footer = "Sent by Postroad."
    }
  }
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
