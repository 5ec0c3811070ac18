# certroll's settings for the pipeline beside it. It lies in the root of the
# config repo; protect it and .gitlab-ci.yml by CODEOWNERS.

repo {
  url       = "https://gitlab.com/example/certificates.git"
  ref       = "main"
  directory = "certs"
  auth {
    username  = "gitlab-ci-token"
    token_env = "CERTROLL_GIT_TOKEN"
  }
}

vault {
  address = "https://vault.example.com:8200"
  auth "jwt" {
    mount   = "gitlab"
    role    = "certroll-apply"
    jwt_env = "CERTROLL_JWT"
  }
}

trust {
  env       = []
  vault     = ["secret/dns/"]
  endpoints = [] # servers that issuer and dns blocks may name besides well-known CAs and providers' own
}

# Who may ask for what. The platform team's files declare issuers and DNS accounts;
# a team's files ask for its own names alone, below its own path.
policy "platform" {
  files  = ["*.hcl"]
  blocks = ["issuer", "dns", "defaults", "locals"]
}

policy "shop" {
  files            = ["teams/shop/**"]
  names            = ["shop.example.com", "**.shop.example.com"]
  vault            = ["secret/tls/shop/"]
  blocks           = ["certificate", "defaults", "locals"]
  max_certificates = 50
}
