# Two names. Certificate and key are written to secret/tls/api.
certificate "api" {
  domains = ["api.lab.test", "www.lab.test"]
}

# A zone with all names directly below it.
certificate "wildcard" {
  domains = [local.zone, "*.${local.zone}"]

  # The secret goes when this block goes; without this line it is kept.
  on_remove = "delete"
}

# The shape of the key is fixed when the certificate is first issued. Stating
# another one later issues it anew.
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
