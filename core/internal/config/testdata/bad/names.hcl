listener "smtp" "in" {
  address    = localhost
  relay_from = "127.0.0.1"
  on_mixed   = drop
  tls {
    cert = "cert.pem"
  }
}
listener "smtp" "in" {
  address = "2525"
}
store "a" {}
store "a" {
  engine = "redis"
}
plugin "unused" {
  source = "builtin:footer"
}
server {}
server {}
