# examples/smarthost-filtered.hcl with the plugin filter alone: what one stage
# costs. Used by core/bench.

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

plugin "filter" {
  source = "builtin:filter"
}

pipeline "outbound" {
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
