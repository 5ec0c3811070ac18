# Two names. certroll writes certificate and key to secret/tls/api.
certificate "api" {
  domains = ["api.lab.test", "www.lab.test"]
}

# A zone, and all names directly below it.
certificate "wildcard" {
  domains = [local.zone, "*.${local.zone}"]

  # If you remove this block, certroll deletes the secret. By default it keeps it.
  on_remove = "delete"
}

# The first issuance fixes the shape of the key. If you change the shape later,
# certroll issues the certificate again, with a new key.
certificate "legacy" {
  domains = ["legacy.${local.zone}"]

  key {
    algorithm = "rsa"
    size      = 3072
  }

  vault {
    path   = "kubernetes/legacy"
    fields = "kubernetes" # tls.crt, tls.key, ca.crt
  }

  renewal {
    threshold_days = 20
  }
}
