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
  env   = []
  vault = ["secret/dns/"]
}
