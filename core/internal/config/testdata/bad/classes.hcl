# Classes of routes.
route "internet" {
  mx {}
  class "all" {
    expire = "1d"
  }
  class "nobody" {
    lowest  = 50
    highest = 40
  }
  class "bulk" {
    highest = -1
    retry   = []
  }
  class "newsletters" {
    lowest  = -20
    highest = 0
  }
  class "bulk" {
    lowest = 60
  }
  class "far" {
    lowest = 101
  }
}
route "smart" {
  retry  = ["1m"]
  expire = "5d"
  smarthost {
    host = "192.0.2.1:25"
  }
  class "low" {
    highest = 0
    retry   = ["5m"]
    expire  = "1d"
  }
  class "high" {
    lowest = 1
    retry  = ["1m"]
  }
}
route "nowhere" {
  class "low" {
    highest = 0
  }
}
listener "smtp" "in" {
  priority        = -101
  priority_header = "X Priority"
}
routing {
  rule {
    route = route.internet
  }
}
