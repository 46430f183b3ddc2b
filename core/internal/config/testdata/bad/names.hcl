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
admin {
  address = "127.0.0.1:2525"
}
listener "smtp" "open" {
  relay_from = ["0.0.0.0/0", "::/0"]
}
