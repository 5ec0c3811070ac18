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
# certificates that wait to be revoked, the lease, the ledger's anchor.
path "secret/data/certroll/*" {
  capabilities = ["create", "read", "update"]
}

path "secret/metadata/certroll/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Credentials of the DNS accounts, and which version of them is there: a new
# one ends the wait of what failed with the old one.
path "secret/data/dns/*" {
  capabilities = ["read"]
}

path "secret/metadata/dns/*" {
  capabilities = ["read"]
}

# How long the mount keeps versions: a warning says where that is too short.
path "secret/config" {
  capabilities = ["read"]
}

# What the token may do; Vault's own policy "default" lets every token ask.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
