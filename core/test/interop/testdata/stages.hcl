# The four builtin plugins look at every message and change nothing. Mail for box.test goes into Maildirs, everything
# else to POSTROAD_SINK.

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

plugin "ratelimit" {
  source = "builtin:ratelimit"
}
plugin "filter" {
  source = "builtin:filter"
}
plugin "rewrite" {
  source = "builtin:rewrite"
}
plugin "route" {
  source = "builtin:route"
}
bucket "per_client" {
  rate  = "6000000/1m"
  burst = 1000000
}

pipeline "in" {
  stage "ratelimit" {
    plugin = plugin.ratelimit
    config {
      limit {
        key    = "client"
        bucket = bucket.per_client
      }
    }
  }
  stage "filter" {
    plugin = plugin.filter
    config {
      deny_sender     = ["*@spam.invalid"]
      deny_attachment = ["*.exe"]
      deny_header {
        name  = "Subject"
        match = "(?i)^make money fast"
      }
    }
  }
  stage "rewrite" {
    plugin = plugin.rewrite
    config {
      delete_header {
        name = "X-Internal-*"
      }
      replace_header {
        name  = "Subject"
        match = "^never there"
        with  = "x"
      }
    }
  }
  stage "route" {
    plugin = plugin.route
    config {
      rule {
        header = "X-Route"
        match  = "^sink$"
        route  = route.sink
      }
    }
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
