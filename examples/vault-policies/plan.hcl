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

# Which version of a DNS account's credential is there, and not the credential.
path "secret/metadata/dns/*" {
  capabilities = ["read"]
}

# How long the mount keeps versions: a warning says where that is too short.
path "secret/config" {
  capabilities = ["read"]
}
