# For the reconciler: `certroll apply` and `certroll run`.
# Names: the KV v2 mount "secret", certroll's own state below "certroll".

# Certificates and their keys.
path "secret/data/tls/*" {
  capabilities = ["create", "read", "update", "delete"]
}

path "secret/metadata/tls/*" {
  capabilities = ["create", "read", "update"]
}

# certroll's own state: ACME accounts, pending secrets, staged keys, replaced
# certificates that wait to be revoked, the lease, the ledger's checkpoint.
path "secret/data/certroll/*" {
  capabilities = ["create", "read", "update"]
}

path "secret/metadata/certroll/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Credentials of the DNS accounts, and their versions: a new version ends the hold
# of certificates that failed with the old one.
path "secret/data/dns/*" {
  capabilities = ["read"]
}

path "secret/metadata/dns/*" {
  capabilities = ["read"]
}

# The settings of the mount: certroll warns if the mount deletes versions too soon.
path "secret/config" {
  capabilities = ["read"]
}

# The token's own rights; Vault's policy "default" grants this to every token.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
