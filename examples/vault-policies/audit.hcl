# For `certroll audit verify --anchor`: how far the ledger had come, which is
# nothing secret but to those who may push there.
# Names: the KV v2 mount "secret", certroll's own state below "certroll".

path "secret/data/certroll/anchor/*" {
  capabilities = ["read"]
}

path "secret/metadata/certroll/anchor/*" {
  capabilities = ["read"]
}
