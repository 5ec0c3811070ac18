# certroll's settings for the workflows in this directory. Put this file into the
# root of the config repo, and protect it and .github/ by CODEOWNERS.

repo {
  url       = "https://github.com/example/certificates.git"
  ref       = "main"
  directory = "certs"
  auth {
    username  = "x-access-token"
    token_env = "CERTROLL_GIT_TOKEN"
  }
}

vault {
  address = "https://vault.example.com:8200"
  auth "jwt" {
    mount   = "github"
    role    = "certroll-apply"
    jwt_env = "CERTROLL_JWT"
  }
}

trust {
  env       = []
  vault     = ["secret/dns/"]
  endpoints = [] # more servers for issuer and dns blocks; well-known CAs and the providers' own need no entry
}

# The platform team's files may declare issuers and DNS accounts. A team's files may
# declare certificates for its own names only, below its own path.
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
