# For the reconciler: `certroll apply` and `certroll run`.
# Names: the KV v2 mount "secret", certroll's own state below "certroll".

# Certificates and their keys.
path "secret/data/tls/*" {
  capabilities = ["create", "read", "update", "delete"]
}

path "secret/metadata/tls/*" {
  capabilities = ["create", "read", "update"]
}

# certroll's own state: ACME accounts, pending secrets, the lease.
path "secret/data/certroll/*" {
  capabilities = ["create", "read", "update"]
}

path "secret/metadata/certroll/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Credentials of the DNS accounts.
path "secret/data/dns/*" {
  capabilities = ["read"]
}
