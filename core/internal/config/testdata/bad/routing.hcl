listener "smtp" "in" {}
routing {
  rule {
    domains = ["example.org", ".example.net", "Example.org"]
    route   = route.out
  }
  rule {
    domains = ["example.org", "a.b.example.net", "example.net"]
    route   = route.out
  }
  rule {
    domains = ["*.example.com", "exa mple"]
    route   = route.out
  }
  rule {
    accept = true
    route  = route.out
  }
  rule {
    domains = ["example.edu"]
    route   = route.out
  }
  rule {
    route = route.out
  }
  rule {
    domains = []
    route   = route.out
  }
}
route "out" {
  mx {}
}
