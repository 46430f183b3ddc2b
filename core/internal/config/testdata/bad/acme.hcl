# Authorities that could issue nothing.
acme "unagreed" {
  agreed = false
  http   = ":80"
}
acme "unseen" {
  agreed = true
}
acme "torn" {
  agreed   = true
  http     = "127.0.0.1:80"
  tls_alpn = "127.0.0.2:443"
}
acme "clear" {
  agreed    = true
  directory = "http://acme.example.org/"
  http      = ":80"
}
