plugin "filter" {
  source = "builtin:filter"
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
bucket "slow" {
  rate = "1/1m"
}
pipeline "p" {
  stage "unknown" {
    plugin = plugin.filter
    config {
      deny_attachmnt = ["*.exe"]
      deny_header {
        nam = "Subject"
      }
      deny_header "X" {
        name = "Subject"
      }
    }
  }
  stage "types" {
    plugin = plugin.filter
    config {
      deny_attachment = "*.exe"
      deny_client     = ["192.0.2.1/24", 5]
      action          = "refuse"
      text            = ["a"]
      deny_header {
        name  = "Subject"
        match = "("
      }
    }
  }
  stage "required" {
    plugin = plugin.greylist
  }
  stage "units" {
    plugin = plugin.greylist
    config {
      delay  = 60
      size   = "5"
      bucket = "slow"
      tries  = 0
      labels = { a = 1, a = 2 }
    }
  }
  stage "references" {
    plugin = plugin.greylist
    config {
      delay  = "60s"
      bucket = bucket.slw
      labels = { a = store.greylist, b = plugin.filter }
    }
  }
  stage "two" {
    plugin = plugin.greylist
    config {
      delay = "60s"
      reply {
        code = 451
      }
      reply {
        code = 450
      }
      labels {
        a = "b"
      }
    }
    config {}
  }
  stage "two" {
    plugin   = plugin.greylist
    on_error = "retry"
    config {
      delay = "60s"
      tries = "3"
      text  = "${client.ip}"
    }
    candidate {}
  }
}
listener "smtp" "in" {
  pipeline = pipeline.p
}
routing {
  rule {
    route = route.out
  }
}
route "out" {
  discard {}
}
