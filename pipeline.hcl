# The default pipeline of Postroad. It runs as it stands, and it can be read as
# a tutorial: from the top to the bottom it is the way of a message.
#
#   go run ./core/cmd/postroad run        starts the relay with this file
#   go run ./core/cmd/postroad check -v   prints this file with every default filled in
#
# Three things to know: a block describes a noun, and its label is its name; a
# name is referred to without quotes (plugin.filter, route.mailboxes), so a typo
# is found before anything runs; and the order of the text is the order of
# execution. Everything that is left out has a default, and what does not belong
# here is an error. All words: core/docs/config.md.

# --- The process -------------------------------------------------------------

server {
  hostname = env("POSTROAD_HOSTNAME", "localhost") # what we call ourselves to others
  data_dir = env("POSTROAD_DATA", "./data")        # queue and mailboxes; relative to this file
}

# Metrics for Prometheus at /metrics, health at /healthz. An address of "" switches a listener off.
admin {
  address = env("POSTROAD_ADMIN", "127.0.0.1:8025")
}

# Name servers for MX records, as "192.0.2.53:53,192.0.2.54:53". An empty list means the system's.
resolver {
  servers = split(",", env("POSTROAD_DNS", ""))
}

# --- Where mail comes in -----------------------------------------------------

# Every message of this listener passes the pipeline "inbound". Programs on this
# machine may send to any domain; everybody else only to the domains that the
# routing below delivers here.
listener "smtp" "inbound" {
  address    = env("POSTROAD_LISTEN", "127.0.0.1:2525")
  pipeline   = pipeline.inbound
  relay_from = ["127.0.0.0/8", "::1"]

  # Units are always written: a size is "50MiB", a time is "5m".
  limits {
    message_size = "50MiB"
    recipients   = 100
  }
}

# --- Which code may run ------------------------------------------------------

# A plugin is a WebAssembly module in a sandbox: it can touch nothing but what it
# is granted, and a call that takes too long or too much memory is stopped. These
# four come inside the binary and get what they ask for. Code from anywhere else
# is named by its file and gets nothing without a grant:
#
#   plugin "greylist" {
#     source = "./greylist.wasm"
#     grant {
#       read = ["envelope"]
#     }
#   }
plugin "ratelimit" {
  source = "builtin:ratelimit"
}
plugin "filter" {
  source = "builtin:filter"
}
plugin "rewrite" {
  source = "builtin:rewrite"
}
plugin "route" {
  source = "builtin:route"
}

# A bucket holds tokens for each key that a stage chooses, here for each client
# address: 6000 a minute come back, and up to 1000 can be taken at once.
bucket "per_client" {
  rate  = "6000/1m"
  burst = 1000
}

# --- What happens to a message -----------------------------------------------

# Stages run in the order of the text. Each may let a message pass, change it, or
# refuse it; what the plugin of a stage can be told stands in its README, and its
# config block is checked like the rest of this file.
pipeline "inbound" {

  # Who sends too fast is asked to come back later. `when` decides whether a stage
  # runs: bounces, which have no sender, are not limited.
  stage "ratelimit" {
    plugin = plugin.ratelimit
    when   = envelope.sender != ""
    config {
      limit {
        key    = "client"
        bucket = bucket.per_client
      }
    }
  }

  # Programs as attachments are refused. A subject that starts with [quarantine]
  # shows how a message is kept aside: see `postroad queue list`.
  stage "filter" {
    plugin = plugin.filter
    config {
      deny_attachment = ["*.exe", "*.scr", "*.pif", "*.com", "*.bat", "*.cmd", "*.js", "*.vbs"]
      deny_header {
        name   = "Subject"
        match  = "^\\[quarantine\\]"
        action = "quarantine"
        text   = "the sender asked for it"
      }
    }
  }

  # Blind copies stay blind, and a trace field says who handed the message over.
  # If this stage fails, the sender is told to try again, which is the default of
  # on_error: nothing is lost, and nothing passes unseen.
  stage "rewrite" {
    plugin   = plugin.rewrite
    on_error = "tempfail"
    config {
      delete_header {
        name = "Bcc"
      }
      add_header {
        name  = "X-Postroad-Client"
        value = "{client_ip}"
      }
    }
  }

  # A stage can choose the way out; its choice beats the routing below. A message
  # with the field "X-Postroad-Catch: yes" ends in the Maildir of this machine
  # whatever its recipient is: good for trying things without the internet.
  stage "route" {
    plugin = plugin.route
    config {
      rule {
        header = "X-Postroad-Catch"
        match  = "^yes$"
        route  = route.mailboxes
      }
    }
  }
}

# --- Where mail goes ---------------------------------------------------------

# The first rule that matches a recipient decides, and the last one must match
# all. A domain that is delivered here is thereby ours: mail for it is taken from
# anyone. Nothing has to be listed twice.
routing {
  rule {
    domains = ["localhost", "example.test"]
    route   = route.mailboxes
  }
  rule {
    route = route.internet
  }
}

# Into folders of this machine: data/mail/<domain>/<local-part>/new. For a first
# look every address has a mailbox; list them in `mailboxes` instead of saying
# create = true when strangers can reach this listener.
route "mailboxes" {
  maildir {
    root   = "mail"
    create = true
  }
}

# To the hosts that DNS names for the recipient's domain, encrypted when they
# offer it. What cannot be delivered now is tried again, and after `expire` the
# sender gets a bounce. The last waiting time repeats.
route "internet" {
  mx {
    tls = "opportunistic"
  }
  retry  = ["1m", "5m", "15m", "1h", "4h"]
  expire = "5d"
}
