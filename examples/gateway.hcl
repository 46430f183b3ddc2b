# The mail gateway of some domains: mail for them is taken from anyone and handed
# to the hosts that DNS names, which may be inside ones. Nobody may relay, not even
# programs on this machine.
#
#   POSTROAD_DOMAINS=example.org,example.net POSTROAD_DNS=10.0.0.53:53 postroad run -c examples/gateway.hcl
#
# Users who log in may: where POSTROAD_SUBMISSION or POSTROAD_SMTPS say on which
# address, as POSTROAD_USER with POSTROAD_PASSWORD.
#
# Settings come from the environment; each has a default.

server {
  hostname = env("POSTROAD_HOSTNAME", "localhost")
  data_dir = env("POSTROAD_DATA", "./data") # relative to this file
}
admin {
  address = env("POSTROAD_ADMIN", "127.0.0.1:8025") # metrics and health; "" switches it off
}
resolver {
  servers = split(",", env("POSTROAD_DNS", "")) # host:port; empty: the system's
}

# No relay_from: no client may send to other domains. The certificate is the
# relay's own, which encrypts and proves nothing; put cert and key in its place.
listener "smtp" "in" {
  address = env("POSTROAD_LISTEN", "127.0.0.1:2525")
  tls {
    self_signed = true
  }
  limits {
    message_size = "50MiB"
  }
}

# For mail programs: STARTTLS, as on port 587, and TLS from the start, as on 465.
# AUTH is offered above TLS alone, but on the machine itself. "" switches it off.
listener "submission" "submission" {
  address = env("POSTROAD_SUBMISSION", "")
  tls {
    self_signed = true
  }
  auth {
    users = [users.gateway]
  }
}
listener "submission" "smtps" {
  address = env("POSTROAD_SMTPS", "")
  tls {
    self_signed = true
    mode        = "implicit"
  }
  auth {
    users = [users.gateway]
  }
}
users "gateway" {
  static {
    user     = env("POSTROAD_USER", "")
    password = env("POSTROAD_PASSWORD", "")
  }
}

# accept = true makes the domains ours although they are not delivered here. The
# last rule is for mail of users, and for bounces that the gateway itself sends.
routing {
  rule {
    domains = split(",", env("POSTROAD_DOMAINS", "example.test"))
    accept  = true
    route   = route.mx
  }
  rule {
    route = route.mx
  }
}
route "mx" {
  mx {
    port          = env("POSTROAD_MX_PORT", "25")
    tls           = "opportunistic" # STARTTLS when offered, whatever the certificate
    allow_private = true            # the next hops are inside hosts
  }
  retry  = [env("POSTROAD_RETRY", "1m"), env("POSTROAD_RETRY", "1m"), env("POSTROAD_RETRY", "1m"), "5m", "15m", "1h", "4h"]
  expire = "5d"
}
