# Everything goes to one next hop, through three plugins that work on every
# message: ratelimit counts, filter looks at addresses, header fields and
# attachments, rewrite drops internal header fields and adds one.
#
#   POSTROAD_SMARTHOST=smtp.example.org:25 postroad run -c examples/smarthost-filtered.hcl
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
  pipeline   = pipeline.outbound
  relay_from = ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
  limits {
    message_size           = "50MiB"
    recipients             = 1000
    connections_per_client = 2000 # few clients, each with many messages
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

# A ceiling against runaway programs that a load test does not reach.
bucket "per_client" {
  rate  = "6000000/1m"
  burst = 1000000
}

pipeline "outbound" {
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
      deny_client     = ["192.0.2.0/24"]
      deny_sender     = ["*@spam.invalid", ".spam.invalid"]
      deny_recipient  = ["nobody@invalid", ".nowhere.invalid"]
      deny_attachment = ["*.exe", "*.scr", "*.pif", "*.com", "*.bat", "*.cmd", "*.js", "*.vbs"]
      deny_header {
        name  = "Subject"
        match = "(?i)^(make money fast|you have won)"
      }
      deny_header {
        name   = "X-Spam-Flag"
        match  = "(?i)^yes"
        action = "quarantine"
      }
    }
  }
  stage "rewrite" {
    plugin = plugin.rewrite
    config {
      delete_header {
        name = "X-Internal-*"
      }
      add_header {
        name  = "X-Postroad-Client"
        value = "{client_ip}"
      }
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
    tls  = "opportunistic" # STARTTLS when the host offers it
  }
  retry  = [env("POSTROAD_RETRY", "1m"), env("POSTROAD_RETRY", "1m"), env("POSTROAD_RETRY", "1m"), "5m", "15m", "1h", "4h"]
  expire = "5d"
}
