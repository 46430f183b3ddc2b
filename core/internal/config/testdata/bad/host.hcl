plugin "tagged" {
  source = "oci:ghcr.io/example/greylist:1.2"
}
plugin "untagged" {
  source = "oci:ghcr.io/example/greylist"
}
plugin "sha1" {
  source = "oci:ghcr.io/example/greylist@sha1:0102"
}
plugin "upper" {
  source = "oci:ghcr.io/Example/greylist@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
}
plugin "no_host" {
  source = "oci:greylist@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
}
plugin "unsigned" {
  source     = "./silent.wasm"
  public_key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
  mode       = "filters"
  isolation  = "messages"
}
plugin "no_key" {
  source    = "./silent.wasm"
  signature = "silent.wasm.minisig"
}
plugin "signed_builtin" {
  source     = "builtin:filter"
  signature  = "filter.minisig"
  public_key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
}
plugin "wrong_key" {
  source     = "./silent.wasm"
  signature  = "./silent.wasm.minisig"
  public_key = "untrusted comment: minisign public key"
}
plugin "greedy" {
  source = "./agent.wasm"
  grant {
    dns     = "perhaps"
    http    = ["https://api.example.org/x", "a*.example.org", "ftp://x", "x:0", "-x.org", "::1", ""]
    dkim    = ["main"]
    emit    = true
    secrets = ["known", "missing", "../x"]
    tick    = 60
    write   = ["queues"]
  }
  limits {
    emit = "100"
  }
}
plugin "poor" {
  source = "./agent.wasm"
}
plugin "unheard" {
  source = "builtin:footer"
  grant {
    dns  = true
    tick = "1m"
  }
}
plugin "dkim" {
  source = "./dkim.wasm"
}
plugin "unticked" {
  source = "./session.wasm"
  phases = ["body", "tick"]
  grant {
    read  = ["auth"]
    write = ["ehlo"]
  }
}
plugin "native" {
  source = "native:x"
  phases = ["tick", "message"]
}
plugin "quiet" {
  source = "./agent.wasm"
  phases = ["message"]
  grant {
    dns     = true
    emit    = true
    http    = ["api.example.org"]
    secrets = ["known", "missing"]
    tick    = "1m"
  }
}
plugin "partly" {
  source = "./session.wasm"
  grant {
    read  = ["auth"]
    write = ["ehlo"]
  }
}
store "cache" {
  engine = "redis"
}
routing {
  rule {
    route = route.out
  }
}
route "out" {
  discard {}
}
