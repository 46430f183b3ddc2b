listener "smtp" "in" {
  pipeline = "inbound"
}
listener "smtp" "two" {
  pipeline = pipeline.inbuond
}
listener "smtp" "three" {
  pipeline = route.internet
}
listener "smtp" "four" {
  pipeline = inbound
}
pipeline "inbound" {
  stage "one" {
    plugin = plugin.filtre
  }
  stage "two" {
    plugin = "builtin:filter"
  }
}
plugin "filter" {
  source = "filter"
}
plugin "grey" {
  source = "greylist.wasm"
  sha256 = "abc"
  grant {
    kv      = ["greylist"]
    buckets = bucket.none
    routes  = [route.internet, route.nowhere]
    dns     = true
  }
}
store "greylist" {}
routing {
  rule {
    domains = "example.org"
    route   = route
  }
  rule {
    route = route.internet[0]
  }
}
route "internet" {
  mx {}
}
