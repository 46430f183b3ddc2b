# The relay of examples/embed: one listener, two stages, two routes.

server {
  hostname = "embed.test"
  data_dir = env("POSTROAD_DATA", "./data")
}
admin {
  address = ""
}

listener "smtp" "inbound" {
  address    = env("POSTROAD_LISTEN", "127.0.0.1:2525")
  pipeline   = pipeline.inbound
  relay_from = ["127.0.0.0/8"]
}

plugin "greeter" {
  source = "native:greeter" # Go code of the program, see main.go
}
plugin "rewrite" {
  source = "builtin:rewrite" # WebAssembly
}

pipeline "inbound" {
  stage "greeter" {
    plugin = plugin.greeter
  }
  stage "rewrite" {
    plugin = plugin.rewrite
    config {
      subject_tag = "[embed]"
    }
  }
}

routing {
  rule {
    domains = ["home.test"]
    route   = route.mailboxes
  }
  rule {
    route = route.upstream
  }
}
route "mailboxes" {
  maildir {
    root   = "mail"
    create = true
  }
}
route "upstream" {
  smarthost {
    hosts = [env("POSTROAD_SMARTHOST", "127.0.0.1:1")]
  }
  retry  = ["1h"]
  expire = "12h"
}
