# What is said here holds for every certificate of this directory and below,
# unless it says otherwise itself. The issuer and the DNS account stand in
# certroll.hcl on the reconciler's side; they may stand here as well.
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
