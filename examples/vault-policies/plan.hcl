# For CI on a pull request: what `certroll plan` needs, and no more. It reads
# metadata; no capability here reaches a key, a credential or an account.
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
