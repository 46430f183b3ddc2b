# Everything that plugins may have beside what full.hcl shows.
listener "smtp" "in" { pipeline = pipeline.inbound }
plugin "filter" { source = "builtin:filter" }
plugin "filter_next" {
  source = "./greylist.wasm"
  signature = "./greylist.wasm.minisig"
  public_key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
  isolation = "restore"
  strict_imports = true
  grant {
    read = ["envelope"]
    kv = [store.greylist]
    buckets = []
  }
}
store "greylist" { engine = "memory" }
plugin "filter_message" {
  source = "builtin:filter"
  phases = ["message"]
}
plugin "text" {
  source = "./silent.wasm"
  mode = "filter"
}
plugin "agent" { source = "builtin:agent" }
plugin "web" {
  source = "./web.wasm"
  isolation = "message"
  grant {
    dns = true
    emit = true
    http = ["API.example.org", "*.example.net", "127.0.0.1:8080", "[::1]:80", "[2001:db8::1]", "https://api.example.org:*", "*"]
    secrets = ["known"]
    tick = "1h30m"
  }
  limits { emit = "5/1m" }
}
plugin "session" {
  source = "./session.wasm"
  isolation = "session"
  grant {
    read = ["auth"]
    write = ["ehlo"]
    tick = "10s"
  }
}
plugin "sign" {
  source = "oci:ghcr.io/example/sign@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  grant {
    routes = [route.out]
    write = ["queue"]
  }
}
pipeline "inbound" {
  capture {
    share = "0.25%"
    redact = ["addresses", "subject"]
  }
  stage "session" {
    plugin = plugin.session
    when = client.ip != "192.0.2.1" && session.listener == "in"
    breaker { failures = 3 }
  }
  stage "agent" { plugin = plugin.agent }
  stage "granted" {
    plugin = plugin.web
    candidate { plugin = plugin.agent }
  }
  stage "filter" {
    plugin = plugin.filter
    config { deny_sender = ["*@example.net"] }
    candidate {
      plugin = plugin.filter_message
      mode = "canary"
      share = "12.5%"
      when = message.score >= 4.5 || message.score < -2
    }
  }
  stage "text" {
    plugin = plugin.text
    candidate {
      plugin = plugin.filter_next
      mode = "canary"
      when = envelope.sender_domain == "example.org"
      config {
        delay = "5s"
        token = secret("known")
      }
    }
  }
}
pipeline "outbound" {
  capture {}
  stage "sign" {
    plugin = plugin.sign
    when = delivery.route == "out" && message.size > "1KiB"
  }
  stage "filter" {
    plugin = plugin.filter_message
  }
}
routing {
  rule { route = route.out }
}
route "out" {
  pipeline = pipeline.outbound
  discard {}
}
listener "smtp" "loop" {
  address = ""
  pipeline = pipeline.outbound
}
