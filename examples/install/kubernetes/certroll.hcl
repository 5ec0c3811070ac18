# certroll's settings in the cluster: /etc/certroll/certroll.hcl in the pod.

state_dir = "/var/lib/certroll"

# The kubelet and Prometheus connect from other machines. /healthz and /readyz need
# no token, all other paths do.
listen            = ":9464"
listen_token_file = "/run/secrets/certroll/listen-token"

repo {
  url       = "https://git.example.com/platform/certificates.git"
  ref       = "main"
  directory = "certs"
  auth {
    username   = "certroll"
    token_file = "/run/secrets/certroll/git-token"
  }
}

vault {
  address = "https://vault.example.com:8200"
  auth "kubernetes" {
    role     = "certroll"
    jwt_file = "/run/secrets/vault/token"
  }
}

trust {
  env   = []
  vault = ["secret/dns/"]
}

log {
  format = "json"
}
