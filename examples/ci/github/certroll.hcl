# certroll's settings for the workflows beside it. It lies in the root of the
# config repo; protect it and .github/ by CODEOWNERS.

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
  env   = []
  vault = ["secret/dns/"]
}
