server {
  drain_timeout = 30
}
listener "smtp" "in" {
  limits {
    message_size    = 26214400
    line_length     = "1mib"
    header_size     = "64 KiB"
    command_timeout = "5min"
    data_timeout    = "soon"
    recipients      = "many"
    connections     = 1.5
    hops            = -1
  }
}
store "s" {
  ttl = "36"
}
bucket "b" {
  rate = 100
}
bucket "c" {
  rate = "100"
}
bucket "d" {
  rate = "0/1m"
}
routing {
  rule {
    route = route.out
  }
}
route "out" {
  discard {}
  retry  = ["1m", 5, "99999999999d"]
  expire = "0s"
}
route "backwards" {
  discard {}
  retry  = backoff("1h", "1m")
  jitter = "101%"
}
route "nothing" {
  discard {}
  retry  = backoff("0s", "1m")
  jitter = 0.1
}
