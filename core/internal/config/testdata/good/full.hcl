server {
  hostname = env("HOSTNAME_OF_TEST", "mx.example.org")
  data_dir = "/var/lib/postroad"
  drain_timeout = "1h30m"
  plugin_memory = "512MiB"
  log {
    format = "json"
  }
}
admin { address = "" }
resolver { servers = split(",", "192.0.2.53, [2001:db8::53]:5353,") }
listener "smtp" "inbound" {
  address = "[::1]:0"
  pipeline = pipeline.inbound
  relay_from = split(" ", "127.0.0.0/8 ::1 192.0.2.7")
  on_mixed = "tempfail"
  tls {
    cert = "/etc/tls/cert.pem"
    key = "/etc/tls/key.pem"
  }
  limits {
    message_size = "10MB"
    recipients = "1000"
    command_timeout = "90s"
  }
}
listener "smtp" "off" {
  address = ""
}
plugin "filter" { source = "builtin:filter" }
plugin "filter_message" {
  source = "builtin:filter"
  phases = ["message"]
  grant {
    read = ["envelope"]
  }
}
plugin "limit" { source = "builtin:limit" }
plugin "greylist" {
  source = "./greylist.wasm"
  sha256 = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"
  isolation = "fresh"
  grant {
    read = ["envelope"]
    kv = [store.greylist]
    buckets = ["*"]
  }
  limits {
    memory = "16MiB"
    deadline = "1250ms"
    fuel = 1000
  }
}
plugin "go" {
  source = "native:stamp"
}
plugin "silent" {
  source = "./silent.wasm"
  grant {
    read = ["body"]
    next_hops = ["10.*:25"]
  }
}
store "greylist" { ttl = "36d" }
bucket "per_client" { rate = "100/1m" }
bucket "slow" {
  rate = "1/1d"
  burst = 3
}
pipeline "inbound" {
  stage "greylist" {
    plugin = plugin.greylist
    when = !client.authenticated && !cidr_contains("192.0.2.0/24", client.ip)
    on_error = "skip"
    config {
      delay = "60s"
      size = "1MB"
      bucket = bucket.slow
      strict = true
      token = secret("known")
      labels = { "a b" = "c", d = store.greylist }
      reply { code = 451 }
      when {
        pattern = "*.example.org"
        networks = ["192.0.2.0/24"]
      }
      when {}
    }
  }
  stage "limit" { plugin = plugin.limit }
  stage "filter" {
    plugin = plugin.filter
    config {
      deny_attachment = ["*.exe", "a\"$${b}"]
      deny_header {
        name = "Subject"
        match = "^\\[spam\\]"
      }
      deny_header { name = "X-Spam" }
    }
  }
  stage "big" {
    plugin = plugin.filter_message
    always = true
    when = (message.size > "1MiB" # big
      || contains(message.header["X-Big"], "yes")) && recipient.domain != "example.org"
  }
  stage "stamp" {
    plugin = plugin.go
    config {
      name = "X-Stamp"
      count = 3
      ratio = 0.25
      on = false
      list = ["a", 1, ["b"]]
      map = { a = { b = "c" } }
      bucket = bucket.slow
      item { a = 1 }
      item { b = 2 }
    }
  }
  stage "silent" {
    plugin = plugin.silent
    config { anything = "goes" }
  }
}
routing {
  rule {
    domains = ["Example.ORG", ".example.org", "example.org"]
    route = route.mailboxes
  }
  rule {
    domains = split(",", env("NOT_SET", ""))
    accept = true
    route = route.internet
  }
  rule {
    domains = ["example.net"]
    accept = true
    route = route.smart
  }
  rule { route = route.internet }
}
route "mailboxes" {
  maildir {
    root = "mail"
    mailboxes = ["alice@example.org", "\"bob b\"@example.org"]
  }
}
route "internet" {
  mx {
    tls = "required"
    port = env("MX_PORT", "2500")
    allow_private = true
    sources = [source.one, source.six]
  }
  rate = "600/1m"
  retry = ["1s", "2m"]
  expire = "2d"
  dsn = "off"
  delay_warning = "2h"
}
route "smart" {
  smarthost {
    host = "smtp.example.net"
    connections = 8
  }
  retry  = backoff("90s", "1h")
  jitter = "12.5%"
  class "codes" {
    lowest = 50
    retry  = ["10s"]
    expire = "15m"
    jitter = "1%"
  }
  class "newsletters" {
    lowest        = -100
    highest       = -1
    delay_warning = "1d"
  }
}
route "several" {
  smarthost { hosts = ["192.0.2.1:2525", "[2001:db8::1]:25"] }
}
route "gone" {
  discard {}
}
provider "google" {
  mx = ["*.Google.example", "mx.example.net"]
  connections = 20
  rate = "100/90s"
}
provider "slow" {
  mx = ["mx.slow.example"]
  rate = "1/1h"
}
source "one" {
  addresses = ["192.0.2.1", "2001:DB8::1"]
  hostname = "one.example.org"
}
source "six" { addresses = ["2001:db8::6"] }
