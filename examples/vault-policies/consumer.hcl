# For a machine that serves one certificate.

path "secret/data/tls/api" {
  capabilities = ["read"]
}
