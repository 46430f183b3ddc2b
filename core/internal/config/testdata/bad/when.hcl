plugin "message_only" {
  source = "builtin:footer"
}
plugin "filter" {
  source = "builtin:filter"
}
pipeline "p" {
  stage "always" {
    plugin = plugin.message_only
    when   = true
  }
  stage "tautology" {
    plugin = plugin.message_only
    when   = client.authenticated || !client.authenticated
  }
  stage "contradiction" {
    plugin = plugin.message_only
    when   = message.size > "1MiB" && !("1MiB" < message.size)
  }
  stage "folded" {
    plugin = plugin.message_only
    when   = client.authenticated && 1 > 2
  }
  stage "unknown_fact" {
    plugin = plugin.message_only
    when   = client.ipp == "192.0.2.1" || sender == "x"
  }
  stage "too_early" {
    plugin = plugin.filter
    when   = recipient.domain == "example.org" && message.size > "1MiB"
  }
  stage "types" {
    plugin = plugin.message_only
    when   = client.ip == 5 || message.size > 1000 || message.size > "1000" || envelope.recipients > "3" || client.helo
  }
  stage "headers" {
    plugin = plugin.message_only
    when   = message.header["Subject"] == "x" || message.header.subject == "x" || message.header["X-Spam"]
  }
  stage "functions" {
    plugin = plugin.message_only
    when   = cidr_contain("192.0.2.0/24", client.ip) || cidr_contains("192.0.2.1/24", client.ip) || cidr_contains(client.ip, "192.0.2.0/24") || matches("(", client.helo) || contains(client.helo, "a")
  }
  stage "arithmetic" {
    plugin = plugin.message_only
    when   = envelope.recipients + 1 > 3
  }
  stage "conditional" {
    plugin = plugin.message_only
    when   = session.tls ? client.authenticated : false
  }
  stage "same_sides" {
    plugin = plugin.message_only
    when   = client.helo == client.helo
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
