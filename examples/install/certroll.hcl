# certroll's settings for certroll.service: /etc/certroll/certroll.hcl. systemd sets
# state_dir to /var/lib/certroll.

repo {
  url       = "https://git.example.com/platform/certificates.git"
  ref       = "main"
  directory = "certs"
  auth {
    username   = "certroll"
    token_file = "/run/credentials/certroll.service/git-token"
  }
}

vault {
  address = "https://vault.example.com:8200"
  auth "approle" {
    role_id        = "6a1f0c9e-5d0f-4a59-9a53-0d0d2b4a7c11"
    secret_id_file = "/run/credentials/certroll.service/vault-secret-id"
  }
}

trust {
  env   = []
  vault = ["secret/dns/"]
}
