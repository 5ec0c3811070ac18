# certroll's settings for compose.yaml: /etc/certroll/certroll.hcl in the container.

repo {
  url       = "https://git.example.com/platform/certificates.git"
  ref       = "main"
  directory = "certs"
  auth {
    username   = "certroll"
    token_file = "/run/secrets/git-token"
  }
}

vault {
  address = "https://vault.example.com:8200"
  auth "approle" {
    role_id        = "6a1f0c9e-5d0f-4a59-9a53-0d0d2b4a7c11"
    secret_id_file = "/run/secrets/vault-secret-id"
  }
}

trust {
  env   = []
  vault = ["secret/dns/"]
}
