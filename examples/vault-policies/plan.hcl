# For CI on a pull request: all that `certroll plan` needs. It grants metadata
# only; no capability here reaches a key, a credential or an account.
# Names: the KV v2 mount "secret", certroll's own state below "certroll".

path "secret/metadata/tls/*" {
  capabilities = ["read"]
}

path "secret/metadata/certroll/pending/*" {
  capabilities = ["read", "list"]
}

path "secret/metadata/certroll/pending" {
  capabilities = ["list"]
}

# The versions of the DNS accounts' credentials, not the credentials.
path "secret/metadata/dns/*" {
  capabilities = ["read"]
}

# The settings of the mount: certroll warns if the mount deletes versions too soon.
path "secret/config" {
  capabilities = ["read"]
}
