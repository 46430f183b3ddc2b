listener "smtp" "in" {}
routing {
  rule { route = route.mail }
}
route "mail" {
  maildir {}
}
