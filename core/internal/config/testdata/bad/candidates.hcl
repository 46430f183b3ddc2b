listener "smtp" "in" {
  pipeline = pipeline.in
}
plugin "filter" {
  source = "builtin:filter"
}
plugin "filter_message" {
  source = "builtin:filter"
  phases = ["message"]
}
plugin "limit" {
  source = "builtin:limit"
}
plugin "greylist" {
  source = "./greylist.wasm"
  grant {
    read    = ["envelope"]
    kv      = [store.greylist]
    buckets = []
  }
}
store "greylist" {}
plugin "sign" {
  source = "oci:ghcr.io/example/sign@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  grant {
    routes = ["*"]
    write  = ["queue"]
  }
}
plugin "session" {
  source = "./session.wasm"
  phases = ["connect", "helo", "headers"]
  grant {
    read  = ["auth"]
    write = ["ehlo"]
  }
}
pipeline "in" {
  capture {
    share  = "0%"
    redact = ["bodies"]
    keep   = "1s"
  }
  stage "share" {
    plugin = plugin.filter
    candidate {
      plugin = plugin.filter_message
      share  = "10%"
    }
  }
  stage "none" {
    plugin = plugin.filter_message
    candidate {
      plugin = plugin.filter
      mode   = "canary"
    }
  }
  stage "bare" {
    plugin = plugin.filter_message
    candidate {
      plugin = plugin.filter
      mode   = "canary"
      share  = 10
      when   = true
    }
  }
  stage "same" {
    plugin = plugin.filter
    candidate {
      plugin = plugin.filter
    }
  }
  stage "config" {
    plugin = plugin.filter_message
    config {
      deny_sender = ["*@example.net"]
    }
    candidate {
      plugin = plugin.greylist
    }
  }
  stage "late" {
    plugin = plugin.filter_message
    when   = message.size > "1MiB" && message.score > 1.2345
    candidate {
      plugin = plugin.filter
      when   = message.size > "1MiB"
    }
  }
  stage "some" {
    plugin = plugin.filter_message
    candidate {
      plugin = plugin.filter_message
      mode   = "canary"
      when   = client.helo == "x" && recipient.local == "y"
      config {
        text = "next"
      }
    }
  }
  stage "late_candidate" {
    plugin = plugin.filter_message
    when   = message.size > "1MiB" && recipient.domain == "example.org"
    candidate {
      plugin = plugin.filter
    }
  }
  stage "outside" {
    plugin = plugin.sign
    candidate {
      plugin = plugin.sign
      config {}
    }
  }
  stage "early" {
    plugin = plugin.session
    when   = client.helo == "x" || session.tls || client.authenticated || contains(message.header["X"], "y") || recipient.local == "z" || delivery.attempt > 1
  }
  stage "scores" {
    plugin = plugin.filter_message
    when   = message.score > "5" || envelope.recipients > 1.5 || message.score
  }
  stage "breaker" {
    plugin = plugin.filter
    breaker {
      failures = 0
      probe    = 5
    }
    breaker {}
  }
  stage "fails_open" {
    plugin   = plugin.limit
    on_error = "skip"
  }
}
pipeline "out" {
  capture {}
  stage "inside" {
    plugin = plugin.filter
  }
  stage "both" {
    plugin = plugin.sign
    when   = client.ip == "192.0.2.1" && delivery.attempt > 3
  }
}
routing {
  rule {
    route = route.out
  }
}
route "out" {
  pipeline = pipeline.gone
  discard {}
}
route "used" {
  pipeline = pipeline.out
  discard {}
}
