server {
  hostname = env("UNSET")
  data_dir = envy("X")
}
resolver {
  servers = split("", "a")
}
admin {
  address = env("SET", "a", "b")
}
listener "smtp" "in" {
  address    = env("SET", "127.0.0.1:2525")
  relay_from = [secret("missing"), secret("known"), cidr_contains("x", "y")]
  limits {
    recipients = env("SET", "5")
    message_size = null
  }
}
routing {
  rule {
    domains = split(",", env("SET", ""))
    route   = route.out
  }
  rule {
    route = route.out
  }
}
route "out" {
  discard {}
}
