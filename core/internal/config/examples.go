// SPDX-License-Identifier: Apache-2.0

package config

// The examples of the reference.
const (
	acmeExample = `acme "letsencrypt" {
  agreed = true
  email  = "postmaster@example.org"
  http   = ":80"
}
listener "smtp" "in" {
  address = "127.0.0.1:2525"
  tls {
    acme  = acme.letsencrypt
    names = ["mx.example.org"]
  }
}
`
	usersExample = `# Mail clients log in on port 587, above TLS. postroad user add ann makes a user.
users "staff" {
  file {
    path = "./users"
  }
}
listener "submission" "clients" {
  address = "127.0.0.1:2587"
  auth {
    users = [users.staff]
  }
}
`
	pluginExample = `# A module of somebody else. It may do what the grant says, and no more.
plugin "lookup" {
  source    = "./lookup.wasm"
  phases    = ["message", "tick"]
  isolation = "message"
  grant {
    read = ["envelope", "headers"]
    kv   = [store.cache]
    dns  = true
    http = ["api.example.org"]
    tick = "10m"
  }
  limits {
    memory = "16MiB"
  }
}
store "cache" {
  engine = "memory"
  ttl    = "1h"
}
pipeline "inbound" {
  stage "lookup" {
    plugin = plugin.lookup
    when   = message.score < 5
  }
}
`
	pipelineExample = `plugin "filter" {
  source = "builtin:filter"
}
pipeline "inbound" {
  capture {
    share  = "0.5%"
    redact = ["addresses", "client"]
  }
  stage "filter" {
    plugin = plugin.filter
    config {
      deny_attachment = ["*.exe"]
    }
    candidate {
      plugin = plugin.filter
      mode   = "canary"
      share  = "10%"
      config {
        deny_attachment = ["*.exe", "*.scr"]
      }
    }
    breaker {
      failures = 20
    }
  }
}
`
	classExample = `route "internet" {
  class "codes" {
    lowest = 50
    retry  = ["10s", "1m"]
    expire = "15m"
  }
  class "newsletters" {
    highest = -1
    retry   = backoff("15m", "8h")
    expire  = "1d"
  }
  mx {
    tls = "opportunistic"
  }
}
routing {
  rule {
    route = route.internet
  }
}
`
	providerExample = `provider "bigmail" {
  mx          = ["*.bigmail.example", "mx.bigmail.example.net"]
  connections = 20
  rate        = "600/1m"
}
`
	sourceExample = `source "a" {
  addresses = ["192.0.2.1", "2001:db8::1"]
  hostname  = "a.example.org"
}
source "b" {
  addresses = ["192.0.2.2", "2001:db8::2"]
  hostname  = "b.example.org"
}
route "internet" {
  rate = "3000/1h"
  mx {
    sources = [source.a, source.b]
  }
}
routing {
  rule {
    route = route.internet
  }
}
`
	routeExample = `plugin "retries" {
  source = "./retries.wasm"
  phases = ["predeliver", "result"]
  grant {
    read  = ["envelope"]
    write = ["queue"]
  }
}
pipeline "outbound" {
  stage "retries" {
    plugin = plugin.retries
    when   = delivery.attempt > 3
  }
}
route "internet" {
  pipeline = pipeline.outbound
  mx {
    tls = "opportunistic"
  }
}
routing {
  rule {
    route = route.internet
  }
}
`
)
