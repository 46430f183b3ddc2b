plugin "greylist" {
  source = "./greylist.wasm"
}
plugin "half" {
  source = "./greylist.wasm"
  grant {
    read  = ["envelope", "body"]
    write = ["recipient"]
  }
}
plugin "gone" {
  source = "./gone.wasm"
}
plugin "filter" {
  source = "builtin:filter"
  phases = ["rcpt", "data"]
}
plugin "footer" {
  source = "builtin:footer"
  phases = ["mail"]
}
plugin "broken" {
  source = "./broken.wasm"
}
pipeline "p" {
  stage "a" {
    plugin = plugin.greylist
  }
}
bucket "slow" {
  rate = "1/1m"
}
routing {
  rule {
    route = route.out
  }
}
route "out" {
  discard {}
}
