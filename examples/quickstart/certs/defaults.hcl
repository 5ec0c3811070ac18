# Defaults of every certificate in this directory and below; a certificate may
# override them. The issuer and the DNS account are in certroll.hcl here; they may be
# in the config repo instead.
defaults {
  issuer = issuer.pebble
  dns    = dns.lab

  labels = {
    team = "platform"
  }
}

locals {
  zone = "lab.test"
}
